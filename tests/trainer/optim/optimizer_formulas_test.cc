#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/trainer/with_roles.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {
namespace {

using Vector = std::vector<double>;

// A parameter with what its rule remembers, element by element.
struct Walker {
  Vector p, m, v;
  double lr = 0, weight_decay = 0;
  bool is_temperature = false;
};

double Norm(const Vector& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

double Sign(double value) { return value > 0 ? 1 : value < 0 ? -1 : 0; }

constexpr double kBeta1 = 0.8, kBeta2 = 0.95, kEps = 1e-3, kMomentum = 0.7, kDecay = 0.3;

void LambStep(Walker& w, const Vector& g, int k) {
  Vector r(g.size());
  for (std::size_t i = 0; i < g.size(); ++i) {
    w.m[i] = kBeta1 * w.m[i] + (1 - kBeta1) * g[i];
    w.v[i] = kBeta2 * w.v[i] + (1 - kBeta2) * g[i] * g[i];
    r[i] =
        w.m[i] / (1 - std::pow(kBeta1, k)) / (std::sqrt(w.v[i] / (1 - std::pow(kBeta2, k))) + kEps);
    r[i] += w.weight_decay * w.p[i];
  }
  const double trust = w.weight_decay == 0 || Norm(w.p) == 0 ? 1 : Norm(w.p) / Norm(r);
  for (std::size_t i = 0; i < g.size(); ++i) w.p[i] -= w.lr * trust * r[i];
}

void LionStep(Walker& w, const Vector& g, int) {
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double direction = Sign(kBeta1 * w.m[i] + (1 - kBeta1) * g[i]);
    w.p[i] -= w.lr * (direction + w.weight_decay * w.p[i]);
    w.m[i] = kBeta2 * w.m[i] + (1 - kBeta2) * g[i];
  }
}

void SgdStep(Walker& w, const Vector& g, bool nesterov) {
  const double momentum = w.is_temperature ? 0 : kMomentum;
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double d = g[i] + w.weight_decay * w.p[i];
    w.m[i] = momentum * w.m[i] + d;
    w.p[i] -= w.lr * (nesterov && !w.is_temperature ? d + momentum * w.m[i] : w.m[i]);
  }
}

Vector VectorOf(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous().view({-1});
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

using StepRule = std::function<void(Walker&, const Vector&, int)>;

// Walks a matrix, a matrix of zeros, a vector and the temperature through six steps.
void ExpectAgreement(const OptimizerOptions& named, const StepRule& rule) {
  OptimizerOptions options = named;
  options.beta1 = kBeta1;
  options.beta2 = kBeta2;
  options.eps = kEps;
  options.weight_decay = kDecay;
  options.momentum = kMomentum;
  const LearningRates rates{.model = 0.05, .tau = 0.01};
  const auto generator = at::detail::createCPUGenerator(5);
  const auto draw = [&](at::IntArrayRef shape) { return at::randn(shape, generator, at::kDouble); };
  const NamedTensors parameters = {{"a.weight", draw({3, 4})},
                                   {"b.weight", at::zeros({2, 3}, at::kDouble)},
                                   {"a.bias", draw({4})},
                                   {"logit_scale", at::full({}, 2.5, at::kDouble)}};
  std::map<std::string, Walker> walkers;
  for (const auto& [name, parameter] : parameters) {
    const Vector zeros(static_cast<std::size_t>(parameter.numel()));
    const bool is_temperature = name == "logit_scale";
    walkers[name] = {VectorOf(parameter),
                     zeros,
                     zeros,
                     is_temperature ? rates.tau : rates.model,
                     parameter.dim() == 2 ? kDecay : 0,
                     is_temperature};
  }
  const auto optimizer = MakeOptimizer(WithRoles(parameters), options);
  for (int step = 1; step <= 6; ++step) {
    for (const auto& [name, parameter] : parameters) {
      at::Tensor(parameter).mutable_grad() = draw(parameter.sizes());
      rule(walkers[name], VectorOf(parameter.grad()), step);
    }
    optimizer->Step(rates);
    for (const auto& [name, parameter] : parameters) {
      const Vector ours = VectorOf(parameter);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        EXPECT_NEAR(ours[i], walkers[name].p[i], 1e-13) << name << " step " << step;
      }
    }
  }
}

TEST(Lamb, FollowsItsFormulaElementByElement) { ExpectAgreement({.name = "lamb"}, LambStep); }

TEST(Lion, FollowsItsFormulaElementByElement) { ExpectAgreement({.name = "lion"}, LionStep); }

TEST(FusedSgd, FollowsItsFormulaElementByElement) {
  for (const bool nesterov : {false, true}) {
    ExpectAgreement({.name = "sgdm", .nesterov = nesterov},
                    [&](Walker& w, const Vector& g, int) { SgdStep(w, g, nesterov); });
  }
}

TEST(Lamb, TakesAdamsStepWhereNothingDecays) {
  NamedTensors parameters = {{"a.weight", at::ones({2, 2}, at::kDouble)}};
  parameters[0].second.mutable_grad() = at::full({2, 2}, 3.0, at::kDouble);
  MakeOptimizer(WithRoles(parameters), {.name = "lamb", .eps = 0, .weight_decay = 0})
      ->Step({0.25, 0});
  EXPECT_TRUE(parameters[0].second.allclose(at::full({2, 2}, 0.75, at::kDouble), 0, 1e-15));
}

TEST(Lamb, SurvivesAMatrixAndAGradientOfZeros) {
  NamedTensors parameters = {{"a.weight", at::zeros({2, 2})}};
  parameters[0].second.mutable_grad() = at::zeros({2, 2});
  MakeOptimizer(WithRoles(parameters), {.name = "lamb"})->Step({0.25, 0});
  EXPECT_TRUE(parameters[0].second.equal(at::zeros({2, 2})));
}

TEST(FusedSgd, KeepsNoBufferWithoutMomentum) {
  NamedTensors parameters = {{"a.weight", at::ones({2, 2})}, {"logit_scale", at::ones({})}};
  for (auto& [name, parameter] : parameters) parameter.mutable_grad() = at::ones_like(parameter);
  const auto moving = MakeOptimizer(WithRoles(parameters), {.name = "sgdm"});
  EXPECT_EQ(moving->state().size(), 2);  // step, momentum_buffer.a.weight
  const auto plain =
      MakeOptimizer(WithRoles(parameters), {.name = "sgdm", .weight_decay = 0, .momentum = 0});
  EXPECT_EQ(plain->state().size(), 1);
  plain->Step({0.5, 0.25});
  EXPECT_TRUE(parameters[0].second.equal(at::full({2, 2}, 0.5)));
  EXPECT_EQ(parameters[1].second.item<double>(), 0.75);
}

}  // namespace
}  // namespace fastclip
