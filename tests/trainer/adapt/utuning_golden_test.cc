#include "tests/trainer/adapt/golden.h"

namespace fastclip {
namespace {

struct Case {
  std::string name;
  std::int64_t trainable;
  std::vector<std::string> recipe;
};

const std::vector<Case>& UTuningCases() {
  static const std::vector<Case> cases = {
      {"p_adapter_mha",
       1455,
       {"p_adapter image.block.0,2.mha r=5 scale=none", "p_adapter text.block.1.mha r=5"}},
      {"p_adapter_ffn",
       1314,
       {"p_adapter image.block.1.ffn r=5 scale=scalar",
        "p_adapter text.block.*.ffn r=5 scale=input"}},
      {"p_adapter_block",
       2100,
       {"p_adapter image.block.*.block r=5", "p_adapter text.block.0.block r=5 scale=none"}},
      {"p_prefix_mha",
       1059,
       {"p_prefix image.block.0,2.mha lp=4 scale=scalar",
        "p_prefix text.block.1.mha lp=4 scale=input"}},
      {"p_prefix_ffn",
       944,
       {"p_prefix image.block.1.ffn lp=4", "p_prefix text.block.*.ffn lp=4 scale=none"}},
      {"p_prefix_block",
       1556,
       {"p_prefix image.block.*.block lp=4 scale=input",
        "p_prefix text.block.0.block lp=4 scale=scalar"}},
      {"p_prompt_mha",
       480,
       {"p_prompt image.block.0,2.mha lp=3",
        "p_prompt text.block.1.mha lp=3 scale=none init=paper"}},
      {"p_prompt_ffn",
       387,
       {"p_prompt image.block.1.ffn lp=3 scale=input init=paper",
        "p_prompt text.block.*.ffn lp=3 scale=scalar"}},
      {"p_prompt_block",
       560,
       {"p_prompt image.block.*.block lp=3 scale=none init=paper",
        "p_prompt text.block.0.block lp=3"}},
      {"p_lora_mha",
       768,
       {"p_lora image.block.0,2.mha r=3 alpha=6", "p_lora text.block.1.mha r=3 alpha=6"}},
      {"p_lora_ffn",
       672,
       {"p_lora image.block.1.ffn r=3 alpha=6", "p_lora text.block.*.ffn r=3 alpha=6"}},
      {"p_lora_block",
       1056,
       {"p_lora image.block.*.block r=3 alpha=6", "p_lora text.block.0.block r=3 alpha=6"}},
      {"dual", 4200, {"p_adapter *.block.*.mha r=5", "p_adapter *.block.*.ffn r=3"}},
      {"tri",
       5448,
       {"p_adapter *.block.*.mha r=5", "p_adapter *.block.*.ffn r=3",
        "p_prefix *.block.*.block lp=3 scale=none"}},
      {"dual_mixed",
       2501,
       {"p_prompt *.block.*.mha lp=4", "p_prefix *.block.*.ffn lp=3 scale=input"}},
      {"tri_post_norm",
       6939,
       {"p_adapter *.block.*.{mha,ffn,block} r=5 scale=none input=post_norm"}}};
  return cases;
}

const std::vector<Case>& BaselineCases() {
  static const std::vector<Case> cases = {
      {"p_prefix_lse", 1664, {"p_prefix *.block.*.mha lp=4 gate=lse init=paper"}},
      {"p_prompt_lse", 832, {"p_prompt *.block.*.mha lp=4 gate=lse init=paper"}},
      {"prefix_concat", 1664, {"prefix *.block.*.mha lp=4"}},
      {"adapter_sequential", 2313, {"adapter *.block.*.ffn r=5"}},
      {"vpt_shallow", 192, {"prompt_shallow image lp=4"}},
      {"vpt_deep", 432, {"prompt_deep image lp=3"}}};
  return cases;
}

void ExpectCases(const std::vector<Case>& cases, const std::string& file) {
  const AdaptGolden base("base"), golden(file);
  for (const Case& of : cases) {
    AdaptedModel model(of.recipe, base);
    EXPECT_EQ(model.trainable(), of.trainable) << of.name;
    model.Take(golden.Under(of.name + "/param/"));
    model.ExpectCase(golden, of.name);
  }
}

TEST(UTuning, FeaturesGradientsAndStepsEqualTheGoldenOnes) {
  ExpectCases(UTuningCases(), "utuning");
}

TEST(Baselines, FeaturesGradientsAndStepsEqualTheGoldenOnes) {
  ExpectCases(BaselineCases(), "baselines");
}

TEST(LearnedKeys, BesideAttentionUnderTheLseGateAreThoseInFrontOfIt) {
  const AdaptGolden base("base"), golden("baselines");
  AdaptedModel gated({"p_prefix *.block.*.mha lp=4 gate=lse init=paper"}, base);
  AdaptedModel joined({"prefix *.block.*.mha lp=4"}, base);
  // Names and seed alike: the same start values.
  EXPECT_EQ(gated.Backward(), gated.Backward());
  EXPECT_NEAR(gated.Backward(), joined.Backward(), 1e-12);
  ExpectNear(gated.Features().image, joined.Features().image, 1e-12, "image");
  ExpectNear(gated.Features().text, joined.Features().text, 1e-12, "text");
  for (const auto& [name, tensor] : joined.model.added()) {
    ExpectNear(gated.Added(name).grad(), tensor.grad(), 1e-12, name);
  }
}

}  // namespace
}  // namespace fastclip
