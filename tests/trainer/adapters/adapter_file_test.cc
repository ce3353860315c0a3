#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "tests/trainer/adapters/adapters.h"
#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

using nlohmann::json;

void Put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Tuners without a layout of PEFT's.
Adapter BitFit(const AdapterBase& base) {
  Adapter adapter = base.LoraQv();
  adapter.tuners = {"bitfit text"};
  adapter.tensors = {{"ln_final.bias", base.golden["weight/ln_final.bias"] + 1}};
  return adapter;
}

TEST(AdapterFile, HoldsWhatAModelHasLearned) {
  const AdapterBase base;
  const auto model = base.Model();
  AttachAdapter(*model, base.LoraQv(), "adapter");
  const TemporaryFolder folder;
  WriteAdapter(folder / "a", AdapterOf(*model, base.LoraQv().tuners, BaseHash(base.weights)));
  const auto again = base.Model();
  AttachAdapter(*again, folder / "a");
  EXPECT_TRUE(at::equal(base.Features(*again).image, base.Features(*model).image));
  EXPECT_TRUE(at::equal(base.Features(*again).text, base.Features(*model).text));
}

TEST(AdapterFile, OtherKindsHaveALayoutOfOurs) {
  const AdapterBase base;
  const TemporaryFolder folder;
  const Adapter adapter = BitFit(base);
  WriteAdapter(folder / "a", adapter);
  EXPECT_EQ(json::parse(ReadWholeFile(folder / "a/adapter_config.json", 4096))["peft_type"],
            "UTUNING");
  ExpectSame(ReadAdapter(folder / "a").tensors, adapter.tensors);
  EXPECT_NE(ErrorOf([&] {
              WriteAdapter(folder / "b", adapter, Dialect::kOpenClip);
            }).find("only adapters of lora tuners"),
            std::string::npos);
}

TEST(AdapterFile, NamesOfOurLayoutComeBack) {
  for (const char* name :
       {"image.block.3.ffn.down.weight", "text.block.11.mha.prefix_k", "image.tokens.prompt",
        "image.block.0.o.P", "text.block.2.fc2.index", "visual.proj", "logit_scale", "head.weight",
        "text_projection", "transformer.resblocks.0.ln_1.bias"}) {
    EXPECT_EQ(FromOwnLayoutName(OwnLayoutName(name)), name);
  }
  EXPECT_EQ(OwnLayoutName("image.block.3.ffn.down.weight"),
            "visual.transformer.resblocks.3.ut.ffn.down.weight");
  EXPECT_EQ(OwnLayoutName("text.block.2.fc2.P"), "transformer.resblocks.2.mlp.c_proj.s2ft_values");
  EXPECT_EQ(OwnLayoutName("image.block.0.o.index"),
            "visual.transformer.resblocks.0.attn.out_proj.s2ft_index");
}

TEST(AdapterFile, ReplacesNothingButAnAdapter) {
  const AdapterBase base;
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "photos");
  Put(folder / "photos/1.jpg", "x");
  EXPECT_EQ(ErrorOf([&] { WriteAdapter(folder / "photos", base.LoraQv()); }),
            folder / "photos: exists and is not an adapter folder; remove it, or use another name");
  std::filesystem::create_directory(folder / "empty");
  WriteAdapter(folder / "empty/", base.LoraQv());
  EXPECT_EQ(ReadAdapter(folder / "empty").tuners, base.LoraQv().tuners);
}

TEST(AdapterFile, ARecipeAndAConfigThatDisagreeAreRefused) {
  const AdapterBase base;
  const TemporaryFolder folder;
  WriteAdapter(folder / "a", base.LoraQv());
  const std::string file = folder / "a/adapter_config.json";
  json config = json::parse(ReadWholeFile(file, 1 << 20));
  config["lora_alpha"] = 17;
  Put(file, config.dump());
  EXPECT_NE(ErrorOf([&] { ReadAdapter(folder / "a"); }).find("one of the two was edited"),
            std::string::npos);
}

TEST(AdapterFile, AFolderOfPeftsIsToldHowToComeIn) {
  const std::string folder = "tests/golden/adapt/peft_hf_clip";
  EXPECT_EQ(ErrorOf([&] { ReadAdapter(folder); }),
            folder + ": was not written by this program: convert it with fastclip adapt import " +
                folder + " --model NAME --out DIR");
  EXPECT_NE(ErrorOf([&] { ReadAdapter("tests/golden"); }).find("is not an adapter folder"),
            std::string::npos);
}

TEST(AdapterFile, HostileRecipesEndEarly) {
  const AdapterBase base;
  Adapter adapter = base.LoraQv();
  const auto error = [&] { return ErrorOf([&] { CheckAdapter(adapter, "A"); }); };
  adapter.tuners.assign(40'000, "lora *.block.*.{q,k,v,o,fc1,fc2}");
  EXPECT_EQ(error(), "A: the recipe names too many sites");
  adapter.tuners = {"lora *.block.*.q"};
  json model = json::parse(adapter.model_config);
  model["vision_cfg"]["layers"] = 1 << 20;
  adapter.model_config = model.dump();
  EXPECT_EQ(error(), "A: a tower of more than 1024 blocks");
  adapter.model_config = "{}";
  EXPECT_NE(error(), "");
}

/// Random bytes changed, removed or doubled.
std::string Mutated(std::string bytes, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % std::max<std::size_t>(n, 1); };
  for (std::size_t i = 1 + below(4); i > 0 && !bytes.empty(); --i) {
    const std::size_t at = below(std::min<std::size_t>(bytes.size(), 6000));
    const std::size_t many = 1 + below(40);
    switch (below(4)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes.erase(at, many);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, many));
        break;
      default:
        bytes.replace(at, 1, std::string(1, "0123456789,:[]{}\"-e"[below(19)]));
        break;
    }
  }
  return bytes;
}

/// Whatever the files hold, reading them ends with an adapter or an exception.
TEST(AdapterFile, DamagedFoldersEndWithAnError) {
  const AdapterBase base;
  const TemporaryFolder folder;
  std::mt19937 random(1);
  WriteAdapter(folder / "lora", base.LoraQv());
  WriteAdapter(folder / "own", BitFit(base));
  std::filesystem::create_directory(folder / "x");
  int errors = 0;
  for (const std::string& from :
       {folder / "lora", folder / "own", std::string("tests/golden/adapt/peft_open_clip")}) {
    const std::string config = ReadWholeFile(from + "/adapter_config.json", 1 << 20);
    const std::string tensors = ReadWholeFile(from + "/adapter_model.safetensors", 1 << 20);
    for (int i = 0; i < 150; ++i) {
      const bool which = i % 3 != 0;
      Put(folder / "x/adapter_config.json", which ? config : Mutated(config, random));
      Put(folder / "x/adapter_model.safetensors", which ? Mutated(tensors, random) : tensors);
      errors += !ErrorOf([&] { ReadAdapter(folder / "x"); }).empty();
      errors += !ErrorOf([&] { ReadPeftAdapter(folder / "x", AdaptGoldenModel()); }).empty();
    }
  }
  EXPECT_GT(errors, 300);
}

}  // namespace
}  // namespace fastclip
