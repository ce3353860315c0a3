#include "trainer/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <stdexcept>

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

std::string MessageOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(FusedAdamW, ContinuesFromItsStateToTheBit) {
  const NamedTensors parameters = Parameters();
  const auto optimizer = MakeOptimizer(parameters, {});
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

  const auto resumed = MakeOptimizer(copies, {});
  resumed->LoadState(kept, "checkpoint");
  resumed->Step({0.01, 0.001});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(parameters[i].second.equal(copies[i].second)) << parameters[i].first;
  }
}

TEST(FusedAdamW, LeavesParametersWithoutGradientAlone) {
  NamedTensors parameters = Parameters();
  parameters[3].second.mutable_grad() = at::Tensor();
  const auto optimizer = MakeOptimizer(parameters, {});
  optimizer->Step({0.01, 0.001});
  EXPECT_EQ(parameters[3].second.item<double>(), 2.5);
}

TEST(FusedAdamW, FollowsAGradientOfAnotherLayout) {
  const NamedTensors plain = Parameters();
  const NamedTensors turned = Parameters();
  at::Tensor weight = turned[0].second;
  weight.mutable_grad() = weight.grad().t().contiguous().t();
  MakeOptimizer(plain, {})->Step({0.01, 0.001});
  MakeOptimizer(turned, {})->Step({0.01, 0.001});
  EXPECT_TRUE(plain[0].second.equal(turned[0].second));
}

TEST(FusedAdamW, SaysWhatDoesNotFit) {
  const auto optimizer = MakeOptimizer(Parameters(), {});
  NamedTensors state;
  for (const auto& [name, tensor] : optimizer->state()) {
    if (name == "exp_avg.a.bias") continue;
    state.emplace_back(name, name == "exp_avg.b.weight" ? at::zeros({2, 2}) : tensor);
  }
  state.emplace_back("exp_avg.c", at::zeros({1}));
  const std::string message = MessageOf([&] { optimizer->LoadState(state, "step_7"); });
  EXPECT_EQ(message,
            "step_7: the optimizer's state does not fit this model and optimizer; missing: "
            "exp_avg.a.bias; unknown: exp_avg.c; of another shape: exp_avg.b.weight");
}

TEST(MakeOptimizer, NamesWhatThereIs) {
  EXPECT_NE(MessageOf([] { MakeOptimizer({}, {.name = "adam"}); }).find("adamw"),
            std::string::npos);
  EXPECT_NE(MessageOf([] { MakeOptimizer({}, {.beta2 = 1}); }).find("beta"), std::string::npos);
  EXPECT_NE(MessageOf([] { MakeOptimizer({}, {.eps = -1}); }).find("eps"), std::string::npos);
  EXPECT_NE(MessageOf([] { MakeOptimizer({}, {.weight_decay = NAN}); }).find("weight_decay"),
            std::string::npos);
}

TEST(GroupOf, KnowsTheThreeRules) {
  EXPECT_EQ(GroupOf("logit_scale", at::zeros({})), ParameterGroup::kLogitScale);
  EXPECT_EQ(GroupOf("logit_bias", at::zeros({})), ParameterGroup::kNoDecay);
  EXPECT_EQ(GroupOf("visual.proj", at::zeros({2, 2})), ParameterGroup::kDecay);
  EXPECT_EQ(GroupOf("visual.ln_pre.weight", at::zeros({2})), ParameterGroup::kNoDecay);
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
