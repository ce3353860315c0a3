// Tuners under activation checkpointing, in groups by length, in bfloat16, at the row that is read.

#include <algorithm>
#include <cmath>

#include "tests/trainer/adapt/golden.h"
#include "trainer/model/attention.h"
#include "trainer/model/autocast.h"

namespace fastclip {
namespace {

/// Recipes that reach all kinds and places, each with an effect from the start.
const std::vector<std::vector<std::string>>& Recipes() {
  static const std::vector<std::vector<std::string>> recipes = {
      {"p_adapter *.block.*.{mha,ffn,block} r=4 init=paper"},
      {"p_adapter *.block.*.{mha,ffn,block} r=4 init=paper scale=input input=post_norm"},
      {"p_prefix *.block.*.{mha,ffn,block} lp=3 init=paper"},
      {"p_prefix *.block.*.{mha,ffn,block} lp=3 init=paper scale=input"},
      {"p_prompt *.block.*.{mha,ffn,block} lp=3 init=paper scale=scalar"},
      {"p_prompt *.block.*.mha lp=3 init=paper gate=lse", "adapter *.block.*.ffn r=4 init=paper"},
      {"prefix *.block.*.mha lp=3", "p_adapter *.block.*.ffn r=4 init=paper scale=scalar"},
      {"p_lora *.block.*.{mha,ffn,block} r=3 alpha=3",
       "lora *.block.*.{q,k,v,o,fc1,fc2} r=2 alpha=2"},
      {"prompt_deep image lp=2", "p_prefix image.block.*.mha lp=3 init=paper scale=input"}};
  return recipes;
}

/// B of LoRA starts at zero, and A would have no gradient.
void MoveZeros(const AdaptedModel& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.model.added()) {
    const at::Tensor wave = at::linspace(0, 9, tensor.numel(), at::kDouble).sin().mul(0.1);
    if (name.ends_with("lora_B")) tensor.detach().copy_(wave.view_as(tensor));
  }
}

NamedTensors GradientsOf(const AdaptedModel& model) {
  model.Backward();
  NamedTensors gradients;
  for (const auto& [name, tensor] : model.model.added()) {
    EXPECT_TRUE(tensor.grad().defined()) << name;
    EXPECT_GT(tensor.grad().abs().max().item<double>(), 0) << name;
    gradients.emplace_back(name, tensor.grad().clone());
  }
  return gradients;
}

void ExpectSame(const AdaptedModel& ours, const AdaptedModel& reference, double tolerance) {
  ExpectNear(ours.Features().image, reference.Features().image, tolerance, "image");
  ExpectNear(ours.Features().text, reference.Features().text, tolerance, "text");
  const NamedTensors gradients = GradientsOf(ours), expected = GradientsOf(reference);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ExpectNear(gradients[i].second, expected[i].second, tolerance, expected[i].first);
  }
}

TEST(TunerGradients, UnderActivationCheckpointingAreTheSameToTheBit) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel model(recipe, base);
    MoveZeros(model);
    const NamedTensors expected = GradientsOf(model);
    model.model.set_grad_checkpointing(true);
    const NamedTensors gradients = GradientsOf(model);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(at::equal(gradients[i].second, expected[i].second)) << expected[i].first;
    }
  }
}

TEST(TunerGradients, InGroupsByLengthAreThoseWithoutGroups) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel whole(recipe, base), grouped(recipe, base);
    MoveZeros(whole), MoveZeros(grouped);
    grouped.batch.groups = {
        .groups = {{.sequences = 1, .length = 6}, {.sequences = 2, .length = 14}},
        .order = at::tensor({0, 2, 1}, at::kLong),
        .places = at::tensor({0, 2, 1}, at::kLong)};
    ExpectSame(grouped, whole, 1e-12);
  }
}

TEST(TunerGradients, PaddingDoesNotReachThem) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel whole(recipe, base), trimmed(recipe, base);
    MoveZeros(whole), MoveZeros(trimmed);
    trimmed.batch.tokens = trimmed.batch.tokens.narrow(1, 0, 14);
    ExpectSame(trimmed, whole, 1e-12);
  }
}

/// Adds nothing, but wants all rows.
class AllRows : public BranchTuner {
 public:
  std::vector<at::Tensor> parameters() const override { return {}; }
  bool needs_all_rows() const override { return true; }
  at::Tensor Delta(const TransformerBlock&, const BranchInput& input) const override {
    return at::zeros_like(input.x);
  }
};

TEST(TunerGradients, AtTheRowThatIsReadAloneAreThoseOfAllRows) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel one(recipe, base), all(recipe, base);
    MoveZeros(one), MoveZeros(all);
    for (const Tower tower : {Tower::kImage, Tower::kText}) {
      all.model.transformer(tower)->blocks().back().tuners.block.push_back(
          std::make_shared<AllRows>());
    }
    ExpectSame(one, all, 1e-12);
  }
}

TEST(TunerGradients, EqualFiniteDifferences) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel model(recipe, base);
    MoveZeros(model);
    const auto loss = [&] {
      const at::NoGradGuard no_grad;
      const at::Tensor text = model.model.EncodeText(model.batch.tokens, model.batch.pool);
      const at::Tensor ramp = at::linspace(1, -1, text.numel(), at::kDouble).view_as(text);
      return (text * ramp).sum().item<double>();
    };
    for (const auto& [name, gradient] : GradientsOf(model)) {
      if (!name.starts_with("text.block.1.")) continue;
      at::Tensor values = model.Added(name).detach().view(-1);  // shares memory
      const std::int64_t place = gradient.abs().view(-1).argmax().item<std::int64_t>();
      const double start = values[place].item<double>(), step = 1e-5;
      values[place] = start + step;
      const double above = loss();
      values[place] = start - step;
      const double below = loss();
      values[place] = start;
      const double slope = gradient.view(-1)[place].item<double>();
      EXPECT_NEAR((above - below) / (2 * step), slope, 1e-6 * std::abs(slope) + 1e-9) << name;
    }
  }
}

TEST(TunerGradients, InBfloat16AreNear) {
  const AdaptGolden base("base");
  for (const std::vector<std::string>& recipe : Recipes()) {
    SCOPED_TRACE(recipe.front());
    AdaptedModel exact(recipe, base), model(recipe, base, 1, at::kFloat);
    MoveZeros(exact), MoveZeros(model);
    const auto apart = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a.to(at::kDouble) - b).norm() / b.norm()).item<double>();
    };
    const PerSide<at::Tensor> expected = exact.Features();
    const NamedTensors slopes = GradientsOf(exact);
    NamedTensors gradients;
    {
      const AutocastGuard autocast(at::kCPU, at::kBFloat16);
      const PerSide<at::Tensor> features = model.Features();
      EXPECT_LE(apart(features.image, expected.image), 1e-2);
      EXPECT_LE(apart(features.text, expected.text), 1e-2);
      gradients = GradientsOf(model);
    }
    double whole = 0;
    for (const auto& [name, slope] : slopes) whole = std::hypot(whole, slope.norm().item<double>());
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      const at::Tensor& slope = slopes[i].second;
      const double norm = slope.norm().item<double>();
      const double error = (gradients[i].second.to(at::kDouble) - slope).norm().item<double>();
      // A unit is 0.004. The gradient of a scale is a sum that nearly cancels: its error is small
      // beside the whole gradient.
      EXPECT_LE(error, std::max(0.15 * norm, 5e-4 * whole)) << slopes[i].first;
    }
  }
}

}  // namespace
}  // namespace fastclip
