#include "trainer/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/support/error_of.h"
#include "tests/trainer/with_roles.h"
#include "trainer/model/clip_model.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/model/presets.h"

namespace fastclip {
namespace {

// Two matrices, a bias and the temperature, with gradients.
NamedTensors Parameters() {
  const auto generator = at::detail::createCPUGenerator(3);
  NamedTensors parameters = {{"a.weight", at::randn({3, 4}, generator, at::kFloat)},
                             {"a.bias", at::randn({4}, generator, at::kFloat)},
                             {"b.weight", at::randn({4, 2}, generator, at::kFloat)},
                             {"logit_scale", at::full({}, 2.5)}};
  for (auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = at::randn(parameter.sizes(), generator, at::kFloat);
    parameter.set_requires_grad(true);
  }
  return parameters;
}

class EveryOptimizer : public testing::TestWithParam<const char*> {
 protected:
  static std::unique_ptr<Optimizer> Make(const NamedTensors& parameters) {
    const std::string name = GetParam();
    const bool nesterov = name == "nesterov";
    return MakeOptimizer(WithRoles(parameters),
                         {.name = nesterov ? "sgdm" : name, .nesterov = nesterov});
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryOptimizer,
                         testing::Values("adamw", "lamb", "lion", "sgdm", "nesterov"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(EveryOptimizer, ContinuesFromItsStateToTheBit) {
  const NamedTensors parameters = Parameters();
  const auto optimizer = Make(parameters);
  optimizer->Step({0.01, 0.001});
  NamedTensors kept;
  NamedTensors copies;
  for (const auto& [name, tensor] : optimizer->state()) kept.emplace_back(name, tensor.clone());
  for (const auto& [name, parameter] : parameters) {
    at::Tensor copy = parameter.detach().clone();
    copy.mutable_grad() = parameter.grad();
    copies.emplace_back(name, copy);
  }
  optimizer->Step({0.01, 0.001});

  const auto resumed = Make(copies);
  resumed->LoadState(kept, "checkpoint");
  resumed->Step({0.01, 0.001});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(parameters[i].second.equal(copies[i].second)) << parameters[i].first;
  }
  const NamedTensors ours = optimizer->state();
  const NamedTensors theirs = resumed->state();
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_TRUE(ours[i].second.equal(theirs[i].second)) << ours[i].first;
  }
}

TEST_P(EveryOptimizer, LeavesParametersWithoutGradientAlone) {
  NamedTensors parameters = Parameters();
  for (const std::size_t i : {0, 1, 3}) parameters[i].second.mutable_grad() = at::Tensor();
  NamedTensors before;
  for (const auto& [name, parameter] : parameters) before.emplace_back(name, parameter.clone());
  const auto optimizer = Make(parameters);
  optimizer->Step({0.01, 0.001});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const bool moved = !parameters[i].second.equal(before[i].second);
    EXPECT_EQ(moved, parameters[i].second.grad().defined()) << parameters[i].first;
  }
  // Some kind of state may be zero after one step.
  double of_the_moved = 0;
  for (const auto& [name, tensor] : optimizer->state()) {
    const double sum = tensor.abs().sum().item<double>();
    if (name.ends_with(".b.weight")) {
      of_the_moved += sum;
    } else if (name != "step") {
      EXPECT_EQ(sum, 0) << name;
    }
  }
  EXPECT_GT(of_the_moved, 0);
}

TEST_P(EveryOptimizer, FollowsAGradientOfAnotherLayoutAndWritesNone) {
  const NamedTensors plain = Parameters();
  const NamedTensors turned = Parameters();
  const at::Tensor kept = plain[0].second.grad().clone();
  at::Tensor weight = turned[0].second;
  weight.mutable_grad() = weight.grad().t().contiguous().t();
  Make(plain)->Step({0.01, 0.001});
  Make(turned)->Step({0.01, 0.001});
  EXPECT_TRUE(plain[0].second.equal(turned[0].second));
  EXPECT_TRUE(plain[0].second.grad().equal(kept));
  EXPECT_TRUE(turned[0].second.grad().equal(kept));
}

TEST_P(EveryOptimizer, StandsStillAtRateZero) {
  const NamedTensors parameters = Parameters();
  const at::Tensor before = parameters[0].second.clone();
  const at::Tensor temperature = parameters[3].second.clone();
  const auto optimizer = Make(parameters);
  optimizer->Step({0, 0.001});
  EXPECT_TRUE(parameters[0].second.equal(before));
  EXPECT_FALSE(parameters[3].second.equal(temperature));
}

TEST_P(EveryOptimizer, LeavesOutWhatIsLocked) {
  const NamedTensors tensors = Parameters();
  std::vector<Parameter> parameters = WithRoles(tensors);
  tensors[0].second.requires_grad_(false);
  const at::Tensor before = tensors[0].second.clone();
  const auto optimizer = MakeOptimizer(
      parameters, {.name = GetParam() == std::string("nesterov") ? "sgdm" : GetParam()});
  optimizer->Step({0.01, 0.001});
  EXPECT_TRUE(tensors[0].second.equal(before));
  for (const auto& [name, tensor] : optimizer->state()) EXPECT_FALSE(name.ends_with("a.weight"));
}

TEST_P(EveryOptimizer, RefusesTheStateOfAnother) {
  const NamedTensors parameters = Parameters();
  const auto optimizer = Make(parameters);
  const std::string name = GetParam();
  const auto other =
      MakeOptimizer(WithRoles(parameters), {.name = name == "lion" ? "sgdm" : "lion"});
  EXPECT_NE(ErrorOf([&] {
              optimizer->LoadState(other->state(), "step_7");
            }).find("step_7: the optimizer state does not fit this model and optimizer"),
            std::string::npos);
}

TEST(OptimizerState, SaysWhatDoesNotFit) {
  const auto optimizer = MakeOptimizer(WithRoles(Parameters()), {});
  NamedTensors state;
  for (const auto& [name, tensor] : optimizer->state()) {
    if (name == "exp_avg.a.bias") continue;
    state.emplace_back(name, name == "exp_avg.b.weight" ? at::zeros({2, 2}) : tensor);
  }
  state.emplace_back("exp_avg.c", at::zeros({1}));
  const std::string message = ErrorOf([&] { optimizer->LoadState(state, "step_7"); });
  EXPECT_EQ(message,
            "step_7: the optimizer state does not fit this model and optimizer; missing: "
            "exp_avg.a.bias; unknown: exp_avg.c; with another shape: exp_avg.b.weight");
}

TEST(MakeOptimizer, NamesWhatThereIsAndWhatCannotBe) {
  EXPECT_NE(ErrorOf([] { MakeOptimizer({}, {.name = "adam"}); }).find("adamw, lamb, lion, sgdm"),
            std::string::npos);
  EXPECT_NE(ErrorOf([] { MakeOptimizer({}, {.momentum = 1}); }).find("momentum"),
            std::string::npos);
  EXPECT_NE(ErrorOf([] {
              MakeOptimizer({}, {.nesterov = true});
            }).find("needs optimizer.name = \"sgdm\""),
            std::string::npos);
  EXPECT_NE(ErrorOf([] { MakeOptimizer({}, {.beta2 = 1}); }).find("beta"), std::string::npos);
  EXPECT_NE(ErrorOf([] { MakeOptimizer({}, {.eps = -1}); }).find("eps"), std::string::npos);
  EXPECT_NE(ErrorOf([] { MakeOptimizer({}, {.weight_decay = NAN}); }).find("weight_decay"),
            std::string::npos);
}

TEST(GroupOf, IsThePublishedRuleForEveryParameterOfBothKindsOfTower) {
  ModelConfig vit = LoadModelConfig("ViT-B-32");
  vit.init_logit_bias = -10;
  for (const ModelConfig& config : {vit, LoadModelConfig("RN50")}) {
    const ClipModel model(config, FreshWeights::kZero, 0.07, at::kFloat, {}, at::kMeta);
    std::set<ParameterGroup> seen;
    for (const Parameter& parameter : model.described()) {
      EXPECT_EQ(GroupOf(parameter), PublishedGroup(parameter.name, parameter.tensor))
          << parameter.name;
      seen.insert(GroupOf(parameter));
    }
    EXPECT_EQ(seen.size(), 3u);
  }
}

TEST(ClipGradients, ShrinksToTheNormAndLeavesSmallOnesAlone) {
  NamedTensors parameters = Parameters();
  const double before = ClipGradients(parameters, 0.5).item<double>();
  EXPECT_GT(before, 0.5);
  EXPECT_NEAR(ClipGradients(parameters, 10).item<double>(), 0.5, 1e-5);
  const at::Tensor kept = parameters[0].second.grad().clone();
  ClipGradients(parameters, 10);
  EXPECT_TRUE(parameters[0].second.grad().equal(kept));
  EXPECT_GT(ClipGradients(parameters, INFINITY).item<double>(), 0);
  EXPECT_TRUE(parameters[0].second.grad().equal(kept));
  EXPECT_EQ(ClipGradients({}, 1).item<double>(), 0);
}

}  // namespace
}  // namespace fastclip
