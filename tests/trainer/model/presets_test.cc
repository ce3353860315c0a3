#include "trainer/model/presets.h"

#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

std::string LoadError(const std::string& model) {
  return ErrorOf<std::runtime_error>([&] { LoadModelConfig(model); });
}

TEST(Presets, AreOpenClipsModels) {
  EXPECT_EQ(ModelPresets(), (std::vector<std::string>{
                                "RN101", "RN101-quickgelu", "RN50", "RN50-quickgelu", "RN50x4",
                                "RN50x4-quickgelu", "ViT-B-16", "ViT-B-16-quickgelu", "ViT-B-32",
                                "ViT-B-32-quickgelu", "ViT-L-14", "ViT-L-14-quickgelu", "tiny"}));
  for (const std::string& name : ModelPresets()) EXPECT_EQ(LoadModelConfig(name).name, name);
  const ModelConfig large = LoadModelConfig("ViT-L-14");
  EXPECT_EQ(large.embed_dim, 768);
  EXPECT_EQ(large.vision.width, 1024);
  EXPECT_EQ(large.vision.layers, 24);
  EXPECT_EQ(large.vision.patch_size, 14);
  EXPECT_EQ(large.text.width, 768);
  EXPECT_EQ(large.text.heads, 12);
  EXPECT_EQ(LoadModelConfig("ViT-B-16").vision.patch_size, 16);
  EXPECT_EQ(LoadModelConfig("ViT-B-32").text.vocab_size, 49408);
}

TEST(Presets, WriteOpenClipsWords) {
  const ModelConfig resnet = LoadModelConfig("RN50");
  EXPECT_EQ(resnet.vision.resnet_layers, (std::vector<std::int64_t>{3, 4, 6, 3}));
  EXPECT_EQ(OpenClipJson(resnet),
            R"({"embed_dim":1024,"quick_gelu":false,"vision_cfg":{"image_size":224,"width":64,)"
            R"("head_width":64,"layers":[3,4,6,3],"patch_size":null},"text_cfg":)"
            R"({"context_length":77,"vocab_size":49408,"width":512,"heads":8,"layers":12,)"
            R"("mlp_ratio":4.0}})");
  const ModelConfig vit = LoadModelConfig("ViT-B-32");
  EXPECT_FALSE(vit.vision.is_resnet());
  EXPECT_NE(OpenClipJson(vit).find(R"("layers":12,"patch_size":32,"mlp_ratio":4.0})"),
            std::string::npos);
}

TEST(Presets, OfQuickGeluAreTheSameModelsWithAnotherActivation) {
  for (const std::string& name : ModelPresets()) {
    if (!name.ends_with("-quickgelu")) continue;
    ModelConfig quick = LoadModelConfig(name);
    EXPECT_TRUE(quick.quick_gelu) << name;
    quick.quick_gelu = false;
    const ModelConfig plain = LoadModelConfig(name.substr(0, name.size() - 10));
    EXPECT_EQ(OpenClipJson(quick), OpenClipJson(plain)) << name;
  }
}

TEST(Presets, NameTheNearestOfTheSameActivation) {
  EXPECT_NE(LoadError("ViT-B-32-quickgel").find("did you mean 'ViT-B-32-quickgelu'"),
            std::string::npos);
  EXPECT_NE(LoadError("ViT-L14-QuickGELU").find("did you mean 'ViT-L-14-quickgelu'"),
            std::string::npos);
  for (const char* other : {"ViT-H-14", "ViT-H-14-QuickGELU", "RN50x64", "convnext_base"}) {
    EXPECT_NE(LoadError(other).find("' is not available. Presets: "), std::string::npos)
        << LoadError(other);
  }
  EXPECT_NE(LoadError("ViT-B/32").find("did you mean 'ViT-B-32'"), std::string::npos);
  EXPECT_NE(LoadError("ViT-B32").find("did you mean 'ViT-B-32'"), std::string::npos)
      << LoadError("ViT-B32");
  EXPECT_NE(LoadError("models/tiny").find("'tiny'"), std::string::npos);
}

TEST(Presets, ReadAFileAndNameItsMistakes) {
  TemporaryFolder folder;
  const std::string file = folder / "own.toml";
  const auto write = [&](const std::string& text) { std::ofstream(file) << text; };
  write("embed_dim = 64\n[vision]\nmlp_ratio = 2\n");
  EXPECT_EQ(LoadModelConfig(file).name, "own");
  EXPECT_EQ(LoadModelConfig(file).embed_dim, 64);
  EXPECT_EQ(LoadModelConfig(file).vision.mlp_ratio, 2);
  write("embed_dim = 64\n[vision]\npatchsize = 16\n");
  EXPECT_EQ(LoadError(file),
            file + ":3: unknown key vision.patchsize; did you mean vision.patch_size?");
  write("embed_dim = 'wide'\n");
  EXPECT_EQ(LoadError(file),
            file + ":1: embed_dim must be an integer from 1 to 16777216, not 'wide'");
  write("embed_dim = 1.5\n");
  EXPECT_EQ(LoadError(file), file + ":1: embed_dim must be an integer from 1 to 16777216, not 1.5");
  write("vision = 3\n");
  EXPECT_TRUE(LoadError(file).starts_with(file + ":1: ")) << LoadError(file);
  write("embed_dim = \n");
  EXPECT_TRUE(LoadError(file).starts_with(file + ":1: ")) << LoadError(file);
  write("[vision]\npatch_size = 15\n");
  EXPECT_NE(LoadError(file).find("patch_size = 15 does not divide"), std::string::npos);
  write("[vision]\nlayers = [3, 4, 6]\n");
  EXPECT_EQ(LoadError(file), file +
                                 ":2: vision.layers must be an integer, or a list of 4 integers, "
                                 "from 1 to 16777216, not [ 3, 4, 6 ]");
  write("[vision]\nlayers = [3, 4, 6, 3.5]\n");
  EXPECT_NE(LoadError(file).find("a list of 4 integers"), std::string::npos) << LoadError(file);
  write("[vision]\nwidth = 64\nlayers = [3, 4, 6, 3]\npatch_size = 32\n");
  EXPECT_EQ(LoadError(file), file +
                                 ":4: vision.patch_size: not valid for a ResNet (vision.layers is "
                                 "a list); remove it");
  write("[vision]\nwidth = 64\nlayers = [3, 4, 6, 3]\nimage_size = 100\n");
  EXPECT_NE(LoadError(file).find("vision.image_size = 100 is not a multiple of 32"),
            std::string::npos)
      << LoadError(file);
  EXPECT_NE(LoadError(folder / "absent.toml").find("absent.toml"), std::string::npos);
}

}  // namespace
}  // namespace fastclip
