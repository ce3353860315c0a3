// `fastclip adapt VERB` on adapter folders and weights files, as a user runs it.

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/paths.h"
#include "tests/support/program.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "tests/trainer/adapters/adapters.h"

namespace fastclip {
namespace {

constexpr const char* kModel = R"(embed_dim = 24
quick_gelu = false
[vision]
image_size = 12
patch_size = 4
width = 48
layers = 3
head_width = 16
mlp_ratio = 2.0
[text]
context_length = 16
vocab_size = 96
width = 32
heads = 2
layers = 2
mlp_ratio = 4.0
)";

class AdaptCommand : public testing::Test {
 protected:
  void SetUp() override {
    for (auto& [name, tensor] : base_.weights) tensor = tensor.to(at::kFloat);
    WriteSafetensors(clip_, base_.weights, {{"format", "pt"}});
    std::ofstream(model_) << kModel;
    Adapter qv = base_.LoraQv();
    qv.base = BaseHash(base_.weights);
    WriteAdapter(qv_, qv);
  }

  /// Runs `fastclip adapt …`.
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), "adapt");
    Program program(folder_.path().string(), words);
    const int code = program.Wait();
    output_ = program.output(), errors_ = program.errors();
    return code;
  }
  void ExpectError(const std::vector<std::string>& words, int code, const std::string& says) {
    EXPECT_EQ(Run(words), code);
    EXPECT_NE(errors_.find(says), std::string::npos) << errors_;
    EXPECT_EQ(std::ranges::count(errors_, '\n'), 1) << errors_;
  }
  NamedTensors Tensors(const std::string& path) { return ReadSafetensors(path).tensors; }

  const AdapterBase golden_;
  AdapterBase base_;  // in float32
  const TemporaryFolder folder_;
  const std::string clip_ = folder_ / "clip.safetensors", model_ = folder_ / "golden.toml",
                    qv_ = folder_ / "qv", out_ = folder_ / "out";
  std::string output_, errors_;
};

TEST_F(AdaptCommand, InfoShowsTunersParametersAndBase) {
  ASSERT_EQ(Run({"info", qv_}), 0) << errors_;
  for (const char* line :
       {"LORA adapter of model golden\n", "  lora *.block.*.{q,v} r=4 alpha=16: 10 sites\n",
        "parameters  3328 in 20 tensors\n", "mergeable   yes\n",
        "base        SHA-256 a90d7916e6e1dba8336c2ada07eac72b28b79c44bb91cf93666270493d08be24\n"}) {
    EXPECT_NE(output_.find(line), std::string::npos) << output_;
  }
  ASSERT_EQ(Run({"info", qv_, "--json"}), 0) << errors_;
  const auto json = nlohmann::json::parse(output_);
  EXPECT_EQ(json["tuners"][0]["sites"].size(), 10);
  EXPECT_EQ(json["mergeable"], true);
}

TEST_F(AdaptCommand, MergeAndUnmergeGiveTheBaseToTheBit) {
  const std::string merged = folder_ / "merged.safetensors";
  ASSERT_EQ(Run({"merge", clip_, qv_, "--out", merged}), 0) << errors_;
  ExpectFeatures(base_.Features(*base_.Model(Tensors(merged))), AdaptGolden("lora"), "lora_qv",
                 1e-5);
  ASSERT_EQ(Run({"unmerge", merged, "--out", folder_ / "back.safetensors"}), 0) << errors_;
  EXPECT_EQ(ReadText(folder_ / "back.safetensors"), ReadText(clip_));

  NamedTensors changed = Tensors(merged);
  changed[0].second = changed[0].second + 1;
  WriteSafetensors(merged, changed);
  ExpectError({"unmerge", merged, "--out", folder_ / "x.safetensors"}, 1,
              "was changed since it was merged");
  ASSERT_EQ(Run({"merge", clip_, qv_, "--out", merged, "--forget-base"}), 0) << errors_;
  ExpectError({"unmerge", merged, "--out", folder_ / "x.safetensors"}, 1,
              "without it the base cannot be restored");
}

TEST_F(AdaptCommand, ExportAndImportGoThroughPeftsLayout) {
  for (const std::string dialect : {"hf_clip", "open_clip"}) {
    ASSERT_EQ(Run({"export", qv_, "--out", out_, "--dialect", dialect}), 0) << errors_;
    EXPECT_EQ(errors_, "");
    const std::string again = folder_ / "again";
    ASSERT_EQ(Run({"import", out_, "--model", model_, "--base", clip_, "--out", again}), 0)
        << errors_;
    ExpectFeatures(golden_.FeaturesWith(ReadAdapter(again)), AdaptGolden("lora"), "lora_qv", 1e-10);
    EXPECT_EQ(ReadAdapter(again).base, BaseHash(base_.weights));
  }
  ASSERT_EQ(Run({"import", "tests/golden/adapt/peft_hf_clip", "--model", model_, "--out", out_}), 0)
      << errors_;
  ASSERT_EQ(Run({"merge", clip_, out_, "--out", folder_ / "m.safetensors"}), 0) << errors_;
  EXPECT_NE(errors_.find("does not say which weights it belongs to"), std::string::npos);
  ExpectError({"import", "tests/golden/adapt/peft_hf_clip", "--model", "ViT-B-32", "--out", out_},
              1, "has shape [2, 48], but ViT-B-32 needs [2, 768]");
}

TEST_F(AdaptCommand, ColumnsAreExportedAsLora) {
  Adapter columns = base_.LoraQv();
  columns.base = BaseHash(base_.weights);
  columns.tuners = RecipeOf(kFirstPicks);
  columns.tensors = AdaptGolden("s2ft").Under("s2ft/step3/");
  for (const auto& [site, index] : AdaptGolden("s2ft").Under("s2ft/index/")) {
    columns.tensors.emplace_back(site + ".index", index.to(at::kLong));
  }
  const std::string s2ft = folder_ / "s2ft";
  WriteAdapter(s2ft, columns);
  ExpectError({"export", s2ft, "--as-lora", "--out", out_}, 2, "--as-lora needs --base");
  ASSERT_EQ(Run({"export", s2ft, "--as-lora", "--base", clip_, "--out", out_}), 0) << errors_;
  EXPECT_NE(output_.find("LORA adapter of model golden"), std::string::npos) << output_;
  ExpectFeatures(base_.FeaturesWith(ReadAdapter(out_)), AdaptGolden("s2ft"), "s2ft/trained", 1e-6);
  ASSERT_EQ(Run({"export", s2ft, "--out", out_}), 0) << errors_;
  EXPECT_NE(errors_.find("only fastclip reads"), std::string::npos);
  ASSERT_EQ(Run({"fuse", s2ft + ":0.5", qv_ + ":2", "--base", clip_, "--out", out_}), 0) << errors_;
  EXPECT_EQ(LayoutOf(ReadAdapter(out_)), "UTUNING");
  ExpectError({"fuse", s2ft + ":1", s2ft + ":1", "--base", clip_, "--out", out_}, 1,
              "that another adapter trains too");
}

TEST_F(AdaptCommand, WrongUseIsToldBeforeAnythingIsWritten) {
  NamedTensors other = base_.weights;
  other[0].second = other[0].second + 1;
  WriteSafetensors(folder_ / "other.safetensors", other);
  const std::string merged = folder_ / "merged.safetensors";
  ExpectError({"merge", folder_ / "other.safetensors", qv_, "--out", merged}, 1,
              "the adapter belongs to other weights");
  ExpectError({"merge", clip_, qv_, "--out", clip_}, 2, "is read by the command");
  ExpectError({"merge", clip_, qv_, "--out", folder_ / "merged.pt"}, 2, "must be a .safetensors");
  ExpectError({"merge", clip_, folder_ / "none", "--out", merged}, 1, "does not exist");
  ExpectError({"merge", clip_, clip_, "--out", merged}, 1, "not an adapter");
  ExpectError({"merge", qv_, qv_, "--out", merged}, 1, "qv");
  ExpectError({"fuse", qv_, "--base", clip_, "--out", out_}, 2, "has no weight");
  ExpectError({"export", qv_, "--out", out_, "--dialect", "hf"}, 2, "--dialect must be");
  ExpectError({"export", qv_, "--as-lora", "--base", clip_, "--out", out_}, 1,
              "--as-lora converts s2ft");
  ExpectError({"mrege", clip_, qv_}, 2, "did you mean merge?");
  EXPECT_FALSE(std::filesystem::exists(merged));
  EXPECT_FALSE(std::filesystem::exists(out_));
}

}  // namespace
}  // namespace fastclip
