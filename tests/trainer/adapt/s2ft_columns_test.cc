#include "tests/trainer/adapt/s2ft_golden.h"

// S²FT where weights are loaded and columns chosen.

namespace fastclip {
namespace {

TEST(S2ftColumns, StartsFromWeightsThatAreLoadedLater) {
  const AdaptGolden base("base");
  ClipModel model(AdaptGoldenModel(), 7, 0.07, at::kDouble);
  AttachTuners(model, {.tuners = kRecipe, .logit_scale = false}, 1);
  model.Load(base.Under("weight/"), "base");
  AdaptedModel expected(kRecipe, base);
  ExpectAllNear(CopyOf(model.added()), CopyOf(expected.model.added()), 0);
  for (const SelectedColumns& of : SelectedColumnsOf(model)) {
    EXPECT_TRUE(at::equal(of.start, of.columns)) << of.site;
  }
  ExpectNear(model.EncodeImage(base["image"]).detach(), base["image_features"], 1e-12, "image");
}

TEST(S2ftColumns, ColumnsMoveAndLeaveTheBaseBehind) {
  const AdaptGolden base("base");
  AdaptedModel model(kRecipe, base);
  const NamedTensors before = CopyOf(model.model.parameters());
  const auto adamw = MakeOptimizer(model.model.described(), kAdamW);
  model.Backward();
  adamw->Step({.model = 0.01, .tau = 0});
  std::map<std::string, at::Tensor> indices;
  for (const SelectedColumns& of : SelectedColumnsOf(model.model)) {
    indices[of.site] = at::arange(of.index.size(0), at::kLong);
  }
  MoveColumns(model.model, indices);
  ExpectAllNear(CopyOf(model.model.parameters()), before, 0);
  for (const SelectedColumns& of : SelectedColumnsOf(model.model)) {
    EXPECT_TRUE(at::equal(of.columns, of.weight.narrow(1, 0, of.index.size(0)))) << of.site;
  }
  const std::string site = "image.block.0.fc2";
  for (const std::vector<std::int64_t>& bad : {std::vector<std::int64_t>{0, 1, 2, 3},
                                               {0, 1, 2, 4, 3},
                                               {0, 1, 2, 3, 3},
                                               {-1, 0, 1, 2, 3},
                                               {0, 1, 2, 3, 96}}) {
    EXPECT_THROW(MoveColumns(model.model, {{site, at::tensor(bad, at::kLong)}}),
                 std::invalid_argument);
  }
  EXPECT_THROW(MoveColumns(model.model, {{"image.block.9.o", at::arange(16)}}),
               std::invalid_argument);
}

TEST(S2ftColumns, ScoresAreNeededBeforeTheFirstPass) {
  const AdaptGolden base("base");
  const AdaptOptions options{.tuners = {"s2ft image.block.1.fc2 channels=3 select=weight"}};
  AdaptedModel model(options.tuners, base);
  EXPECT_THROW(model.Features(), std::logic_error);
  EXPECT_EQ(NeedOf(options, model.model.config()), CalibrationNeed::kNothing);
  ChooseColumns(model.model, options, {});
  ExpectNear(model.Features().image.detach(), base["image_features"], 1e-12, "image");
  const auto need = [&](const char* score) {
    const std::string tuner = std::string("s2ft image.block.1.fc2 channels=3 select=") + score;
    return NeedOf({.tuners = {tuner}}, model.model.config());
  };
  EXPECT_EQ(need("activation"), CalibrationNeed::kActivations);
  EXPECT_EQ(need("product"), CalibrationNeed::kActivations);
  EXPECT_EQ(need("gradient"), CalibrationNeed::kGradients);
}

}  // namespace
}  // namespace fastclip
