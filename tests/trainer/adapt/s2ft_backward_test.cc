#include <ATen/core/grad_mode.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "tests/support/thread_communicator.h"
#include "tests/trainer/adapt/s2ft_golden.h"
#include "trainer/adapt/column_tuner.h"
#include "trainer/step/gradient_reducer.h"
#include "trainer/step/live_bytes.h"

// The backward pass of S²FT: recomputed, cut, over ranks, under autocast; what it holds.

namespace fastclip {
namespace {

TEST(S2ftBackward, ActivationCheckpointingChangesNoBit) {
  const AdaptGolden base("base");
  AdaptedModel plain(kRecipe, base), recomputed(kRecipe, base);
  recomputed.model.set_grad_checkpointing(true);
  plain.Backward();
  recomputed.Backward();
  ExpectAllNear(GradientsOf(recomputed), GradientsOf(plain), 0);
}

TEST(S2ftBackward, BiasesAndLoraMayTrainBesideIt) {
  const AdaptGolden base("base");
  const std::vector<std::string> others = {"bitfit {image,text}", "lora *.block.*.{o,fc2} r=2"};
  AdaptedModel alone(others, base), beside({others[0], others[1], kRecipe[0]}, base);
  alone.Backward();
  beside.Backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& [name, gradient] : GradientsOf(beside)) gradients[name] = gradient;
  for (const auto& [name, gradient] : GradientsOf(alone)) {
    ExpectNear(gradients.at(name), gradient, 1e-12, name);
  }
}

TEST(S2ftBackward, AChangeBetweenForwardAndBackwardIsAnError) {
  const AdaptGolden base("base");
  AdaptedModel model(kRecipe, base);
  const PerSide<at::Tensor> features = model.Features();
  {
    const at::NoGradGuard no_grad;
    at::Tensor(SelectedColumnsOf(model.model).front().columns).add_(1);
  }
  EXPECT_THROW(features.image.sum().backward(), std::exception);
}

/// Rows of the golden batch.
MicroBatch RowsOf(const MicroBatch& batch, std::int64_t first, std::int64_t count) {
  return {batch.images.narrow(0, first, count), batch.tokens.narrow(0, first, count),
          batch.pool.narrow(0, first, count)};
}

/// Gradients of the golden loss by the features.
PerSide<at::Tensor> Ramp(at::ScalarType type) {
  const at::Tensor ramp = at::linspace(-1, 1, 3 * 24, type).view({3, 24});
  return {ramp, -ramp};
}

TEST(S2ftBackward, GradientsAreThoseOfTheBatchInMicroBatchesAndOverRanks) {
  const AdaptGolden base("base");
  AdaptedModel whole(kRecipe, base);
  whole.Backward();
  const NamedTensors expected = GradientsOf(whole);
  const PerSide<at::Tensor> ramp = Ramp(at::kDouble);
  {
    AdaptedModel cut(kRecipe, base);
    const std::vector<MicroBatch> micro = {RowsOf(cut.batch, 0, 2), RowsOf(cut.batch, 2, 1)};
    Towers towers(cut.model);
    towers.Forward(micro);
    towers.Backward(micro, ramp);
    ExpectAllNear(GradientsOf(cut), expected, 1e-12);
  }
  RunRanks(2, [&](Communicator& comm) {
    AdaptedModel part(kRecipe, base);
    const std::int64_t first = comm.rank() == 0 ? 0 : 2, count = comm.rank() == 0 ? 2 : 1;
    const std::vector<MicroBatch> micro = {RowsOf(part.batch, first, count)};
    Towers towers(part.model);
    GradientReducer reducer(part.model.trainable(), comm);
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : part.model.trainable()) bytes += tensor.numel() * 8;
    EXPECT_EQ(reducer.bytes(), bytes);
    GradientReducer::Pass pass = reducer.Begin();
    pass.BeginLast();
    towers.Forward(micro);
    towers.Backward(micro, {ramp.image.narrow(0, first, count), ramp.text.narrow(0, first, count)});
    pass.Add(at::zeros({}, at::kDouble));
    std::move(pass).Finish();
    ExpectAllNear(GradientsOf(part), expected, 1e-12);
  });
}

TEST(S2ftBackward, UnderAutocastGradientsAreTheDenseOnes) {
  const AdaptGolden base("base");
  const auto gradients = [&](const std::vector<std::string>& recipe) {
    auto model = std::make_unique<ClipModel>(AdaptGoldenModel(), 1, 0.07, at::kFloat);
    model->Load(base.Under("weight/"), "base");
    AttachTuners(*model, {.tuners = recipe, .logit_scale = false}, 1);
    const std::vector<MicroBatch> micro = {
        {base["image"].to(at::kFloat), base["text"], base["text_pool"]}};
    Towers towers(*model, at::kBFloat16);
    towers.Forward(micro);
    towers.Backward(micro, Ramp(at::kFloat));
    return model;
  };
  const auto ours = gradients(kRecipe), dense = gradients({"full {image,text}"});
  for (const SelectedColumns& of : SelectedColumnsOf(*ours)) {
    EXPECT_EQ(of.columns.grad().scalar_type(), at::kFloat);
    ExpectNear(of.columns.grad(), MapAt(*dense, of.site).weight.grad().index_select(1, of.index),
               1e-2, of.site);
  }
}

/// Numbers held for backward by a block, in units of its input.
double HeldUnits(const std::function<void(Transformer&, const std::vector<Parameter>&)>& prepare) {
  constexpr std::int64_t kWidth = 768, kSequences = 2, kPlaces = 50;
  const auto held = [&](std::int64_t layers) {
    FreshWeights weights(FreshWeights::kZero, at::kFloat);
    const BlockShape shape{.heads = 12, .qk_dim = 64, .v_dim = 64, .ffn = 3072};
    Transformer transformer(weights, "t",
                            {.tower = Tower::kImage,
                             .width = kWidth,
                             .blocks = std::vector(static_cast<std::size_t>(layers), shape),
                             .quick_gelu = false,
                             .causal = false,
                             .start = BlockStart::kTorchDefault});
    prepare(transformer, weights.made());
    const at::Tensor x = at::ones({kSequences * kPlaces, kWidth}).requires_grad_();
    const auto live = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
    const at::Tensor y = transformer.ForwardAll(x, {{kSequences, kPlaces}});
    return live->value();
  };
  return static_cast<double>(held(3) - held(2)) / (kSequences * kPlaces * kWidth * 4);
}

TEST(S2ftBackward, ABlockKeepsLittleMoreThanAFrozenOne) {
  const auto freeze = [](Transformer&, const std::vector<Parameter>& all) {
    for (const Parameter& parameter : all) parameter.tensor.set_requires_grad(false);
  };
  const double full = HeldUnits([](Transformer&, const std::vector<Parameter>&) {});
  const double frozen = HeldUnits(freeze);
  const double ours = HeldUnits([&](Transformer& tower, const std::vector<Parameter>& all) {
    freeze(tower, all);
    for (TransformerBlock& block : tower.blocks()) {
      for (const UnitGroup group : {UnitGroup::kHeads, UnitGroup::kChannels}) {
        Linear& map = ConsumerOf(block, group);
        const at::Tensor index = at::arange(64, at::kLong).mul_(3);
        map.tuners.push_back(std::make_shared<ColumnTuner>(
            map.weight.index_select(1, index).requires_grad_(), index));
      }
    }
  });
  EXPECT_NEAR(full, 16.02, 0.03);
  EXPECT_NEAR(frozen, 10.02, 0.03);
  EXPECT_LE(ours, 10.27);
  EXPECT_GT(ours, frozen);
  RecordProperty("units", std::to_string(ours));
}

}  // namespace
}  // namespace fastclip
