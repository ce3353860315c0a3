// Each kind learns; dropout of LoRA is a function of its key.

#include <fmt/format.h>

#include "tests/trainer/adapt/golden.h"
#include "trainer/model/dropout.h"
#include "trainer/step/towers.h"

namespace fastclip {
namespace {

/// CLIP's loss on the golden batch, at τ = 0.07.
at::Tensor LossOf(const AdaptedModel& model) {
  const PerSide<at::Tensor> features = model.Features();
  const at::Tensor logits = at::mm(features.image, features.text.t()) / 0.07;
  const at::Tensor own = at::arange(logits.size(0), at::kLong);
  return (at::cross_entropy_loss(logits, own) + at::cross_entropy_loss(logits.t(), own)) / 2;
}

/// Steps until the loss has fallen by 30%, 200 at most.
int StepsToFall(const std::vector<std::string>& recipe, const AdaptGolden& base) {
  AdaptedModel model(recipe, base, 1, at::kFloat);
  std::unique_ptr<Optimizer> optimizer =
      MakeOptimizer(model.model.described(), {.weight_decay = 0});
  const double start = LossOf(model).item<double>();
  for (int step = 0; step < 200; ++step) {
    for (const auto& [name, tensor] : model.model.trainable()) tensor.mutable_grad() = at::Tensor();
    const at::Tensor loss = LossOf(model);
    if (loss.item<double>() <= 0.7 * start) return step;
    loss.backward();
    optimizer->Step({.model = 0.01, .tau = 0});
  }
  return 200;
}

TEST(TunerTraining, EachKindAtEachPlaceLearns) {
  const AdaptGolden base("base");
  std::vector<std::vector<std::string>> recipes = {
      {"adapter *.block.*.ffn"},
      {"prefix *.block.*.mha"},
      {"prompt_shallow image"},
      {"prompt_deep image"},
      {"lora *.block.*.{q,v} dropout=0.1"},
      {"p_adapter *.block.*.mha", "p_adapter *.block.*.ffn"},
      {"p_adapter *.block.*.{mha,ffn}", "p_prefix *.block.*.block lp=4 scale=none"}};
  for (const char* kind : {"p_adapter", "p_prefix", "p_prompt", "p_lora"}) {
    for (const char* place : {"mha", "ffn", "block"}) {
      recipes.push_back({fmt::format("{} *.block.*.{}", kind, place)});
    }
  }
  for (const std::vector<std::string>& recipe : recipes) {
    EXPECT_LT(StepsToFall(recipe, base), 200) << recipe.front();
  }
}

TEST(Dropout, KeepsTheMeanAndIsAFunctionOfItsKey) {
  const at::Tensor x = at::ones({500, 200}, at::kDouble);
  const at::Tensor y = Dropped(x, 0.25, 7);
  EXPECT_NEAR(y.mean().item<double>(), 1, 0.01);  // deviation .0018
  EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), 0.25, 0.01);
  EXPECT_TRUE(at::equal(y, y.ne(0).to(at::kDouble) * (1 / 0.75)));
  EXPECT_TRUE(at::equal(Dropped(x, 0.25, 7), y));
  // Another key, in either half: three of eight differ where both are independent.
  for (const std::uint64_t key : {std::uint64_t{8}, std::uint64_t{7} + (std::uint64_t{1} << 32)}) {
    EXPECT_NEAR(Dropped(x, 0.25, key).ne(y).to(at::kDouble).mean().item<double>(), 0.375, 0.01);
  }
}

NamedTensors GradientsOf(const AdaptedModel& model, std::size_t micro_batches, std::uint64_t draw) {
  for (const auto& [name, tensor] : model.model.trainable()) tensor.mutable_grad() = at::Tensor();
  std::vector<MicroBatch> micro = {model.batch};
  if (micro_batches == 2) {
    const auto part = [&](std::int64_t first, std::int64_t count) {
      return MicroBatch{model.batch.images.narrow(0, first, count),
                        model.batch.tokens.narrow(0, first, count),
                        model.batch.pool.narrow(0, first, count)};
    };
    micro = {part(0, 2), part(2, 1)};
  }
  Towers towers(model.model);
  const PerSide<at::Tensor> features = towers.Forward(micro, draw);
  // The gradient of ½·|features − target|² shows whether the second pass drew other masks.
  towers.Backward(micro, {features.image - 1, features.text - 1});
  NamedTensors gradients;
  for (const auto& [name, tensor] : model.model.added()) {
    gradients.emplace_back(name, tensor.grad().clone());
  }
  return gradients;
}

bool Equal(const NamedTensors& a, const NamedTensors& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!at::equal(a[i].second, b[i].second)) return false;
  }
  return true;
}

AdaptedModel WithDropout(const AdaptGolden& base, const std::string& recipe) {
  AdaptedModel model({recipe}, base);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.model.added()) {
    if (name.ends_with("lora_B")) tensor.detach().fill_(0.1);
  }
  return model;
}

TEST(Dropout, IsRepeatedByRecomputationAndBySecondPasses) {
  const AdaptGolden base("base");
  for (const char* recipe : {"lora *.block.*.{q,v,o,fc1,fc2} r=2 dropout=0.3",
                             "p_lora *.block.*.{mha,ffn,block} r=2 dropout=0.3"}) {
    SCOPED_TRACE(recipe);
    AdaptedModel model = WithDropout(base, recipe);
    const NamedTensors once = GradientsOf(model, 1, 5);
    EXPECT_TRUE(Equal(GradientsOf(model, 1, 5), once));
    EXPECT_FALSE(Equal(GradientsOf(model, 1, 6), once));
    const NamedTensors twice = GradientsOf(model, 2, 5);
    model.model.set_grad_checkpointing(true);
    EXPECT_TRUE(Equal(GradientsOf(model, 1, 5), once));
    EXPECT_TRUE(Equal(GradientsOf(model, 2, 5), twice));
  }
}

TEST(Dropout, HasNoPartInAnEvaluation) {
  const AdaptGolden base("base");
  const AdaptedModel plain = WithDropout(base, "lora *.block.*.{q,v} r=2");
  const AdaptedModel dropping = WithDropout(base, "lora *.block.*.{q,v} r=2 dropout=0.5");
  GradientsOf(dropping, 1, 5);
  EXPECT_TRUE(at::equal(dropping.Features().image, plain.Features().image));
  const DropoutScope masks(dropping.model.dropout(), 5);
  const PerSide<at::Tensor> features = dropping.Features();
  EXPECT_FALSE(at::equal(features.image, plain.Features().image));
  EXPECT_FALSE(at::equal(features.text, plain.Features().text));
  EXPECT_TRUE(at::equal(dropping.Features().image, features.image));
}

TEST(Dropout, TheSecondPassOfTwoDrawsTheMasksOfTheFirst) {
  const AdaptGolden base("base");
  const AdaptedModel model = WithDropout(base, "lora *.block.*.{q,v,fc1} r=2 dropout=0.3");
  // One micro-batch keeps the graph of its only pass; two of the same rows run each twice.
  std::vector<MicroBatch> one = {model.batch}, two = {model.batch, model.batch};
  Towers towers(model.model);
  const PerSide<at::Tensor> alone = towers.Forward(one, 5), both = towers.Forward(two, 5);
  EXPECT_TRUE(at::equal(both.image.narrow(0, 0, 3), alone.image));
  EXPECT_FALSE(at::equal(both.image.narrow(0, 3, 3), alone.image));
  const NamedTensors expected = GradientsOf(model, 1, 5);
  for (const auto& [name, tensor] : model.model.trainable()) tensor.mutable_grad() = at::Tensor();
  towers.Forward(two, 5);
  const auto padded = [](const at::Tensor& features) {
    return at::cat({features - 1, at::zeros_like(features)});
  };
  towers.Backward(two, {padded(alone.image), padded(alone.text)});
  for (const auto& [name, gradient] : expected) {
    ExpectNear(model.Added(name).grad(), gradient, 1e-12, name);
  }
}

}  // namespace
}  // namespace fastclip
