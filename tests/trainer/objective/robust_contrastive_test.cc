#include "trainer/objective/robust_contrastive.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fastclip {
namespace {

constexpr std::int64_t kRows = 6;

PerSide<at::Tensor> RandomFeatures(std::uint64_t seed) {
  const auto generator = at::detail::createCPUGenerator(seed);
  const auto draw = [&] {
    const at::Tensor rows = at::randn({kRows, 5}, generator, at::kDouble);
    return rows / rows.norm(2, 1, /*keepdim=*/true);
  };
  return {draw(), draw()};
}

ObjectiveOptions Exact() {
  return {.name = "fastclip_v2",
          .mode = "exact",
          .rho = 1.5,
          .epsilon = 1e-3,  // large enough to see
          .tau_init = 0.2,
          .tau_beta1 = 0.9,
          .tau_beta2 = 0.98,
          .tau_eps = 1e-6};
}

// Columns of exact v2: log_u, tau, m, v, each of the image and the text anchor.
at::Tensor Fresh(const ContrastiveObjective& objective) {
  return at::tensor(objective.initial_state(), at::kDouble).repeat({kRows, 1});
}

at::Tensor Pair(const at::Tensor& state, std::int64_t which) {  // [2, rows]
  return state.narrow(1, 2 * which, 2).t();
}

ObjectiveResult Evaluate(const ContrastiveObjective& objective, const PerSide<at::Tensor>& all,
                         const at::Tensor& state, double gamma, std::int64_t epoch,
                         bool on_device = false) {
  StepScalars scalars;
  scalars.logit_scale = at::zeros({}, at::kDouble);
  scalars.gamma = gamma;
  scalars.lr_tau = 0.01;
  scalars.epoch = epoch;
  if (on_device) {
    const auto scalar = [](double value) { return at::scalar_tensor(value, at::kDouble); };
    scalars.on_device = {.log_gamma = scalar(std::log(gamma)),
                         .log_rest = scalar(std::log1p(-gamma)),
                         .lr_tau = scalar(0.01),
                         .epoch = scalar(static_cast<double>(epoch))};
    scalars.gamma = scalars.lr_tau = std::nan("");
    scalars.epoch = -1;
  }
  const auto comm = WorldOfOne();
  return objective.Evaluate({.local = all, .global = all, .first_row = 0, .rows_per_rank = {kRows}},
                            state, scalars, *comm);
}

// Half of the published objective's terms, τ_i·(ln(ε + u_i) + ρ), whole matrices and autograd, with
// u a value of its own: ln(ε + u) has the derivative of g/(ε + u).
struct Published {
  PerSide<at::Tensor> features;
  at::Tensor tau;  // ∂/∂τ_i of the anchor's own term within ±5, [2, rows]
  at::Tensor u;
};

Published ByAutograd(const PerSide<at::Tensor>& all, const at::Tensor& state, double gamma,
                     const ObjectiveOptions& options) {
  const at::Tensor image = all.image.clone().set_requires_grad(true);
  const at::Tensor text = all.text.clone().set_requires_grad(true);
  const at::Tensor tau = Pair(state, 1).clone().set_requires_grad(true);
  const at::Tensor old = Pair(state, 0).exp();
  const at::Tensor similarity = image.mm(text.t());
  at::Tensor features = at::zeros({}, at::kDouble), taus = at::zeros({}, at::kDouble);
  std::vector<at::Tensor> estimators;
  for (std::int64_t side = 0; side < 2; ++side) {
    const at::Tensor rows = side == 0 ? similarity : similarity.t();
    const at::Tensor d = (rows - similarity.diagonal().unsqueeze(1)) / tau[side].unsqueeze(1);
    const at::Tensor g = d.exp().masked_fill(at::eye(kRows, at::kBool), 0).sum(1) / (kRows - 1.0);
    const at::Tensor u =
        at::where(old[side].gt(0), old[side] * (1 - gamma) + g * gamma, g).detach();
    const at::Tensor share = g / (u + options.epsilon);
    features = features + (tau[side].detach() * share).mean() / 2;
    // τ·ln(ε + u): the logarithm as a value, plus τ times its derivative.
    taus = taus +
           (tau[side] * ((u + options.epsilon).log() + options.rho) + tau[side].detach() * share)
               .sum();
    estimators.push_back(u);
  }
  features.backward({}, /*retain_graph=*/true);
  const PerSide<at::Tensor> gradients{image.grad().clone(), text.grad().clone()};
  tau.mutable_grad().reset();
  taus.backward();
  return {gradients, tau.grad().clamp(-5, 5), at::stack(estimators)};
}

void ExpectNear(const at::Tensor& ours, const at::Tensor& theirs, const char* what) {
  EXPECT_LE((ours - theirs).abs().max().item<double>(), 1e-12 * theirs.abs().max().item<double>())
      << what;
}

TEST(RobustContrastive, ExactFollowsThePublishedObjectiveThroughTwoVisits) {
  const ObjectiveOptions options = Exact();
  const RobustContrastive objective(options);
  at::Tensor state = Fresh(objective);
  at::Tensor m, v;
  for (const double gamma : {1.0, 0.4}) {
    const bool first = gamma == 1;
    const PerSide<at::Tensor> all = RandomFeatures(first ? 3 : 4);
    const Published theirs = ByAutograd(all, state, gamma, options);
    const ObjectiveResult ours = Evaluate(objective, all, state, gamma, first ? 0 : 5);
    ExpectNear(ours.features.image, theirs.features.image, "image");
    ExpectNear(ours.features.text, theirs.features.text, "text");
    ExpectNear(Pair(ours.state, 0).exp(), theirs.u, "u");
    // A first visit sets the moments; there is no bias correction at any epoch.
    m = first ? theirs.tau : 0.9 * m + (1 - 0.9) * theirs.tau;
    v = first ? theirs.tau.square() : 0.98 * v + (1 - 0.98) * theirs.tau.square();
    ExpectNear(Pair(ours.state, 2), m, "m");
    ExpectNear(Pair(ours.state, 3), v, "v");
    ExpectNear(Pair(ours.state, 1), Pair(state, 1) - 0.01 * m / (v.sqrt() + 1e-6), "tau");
    EXPECT_EQ(ours.report.first_visits.item<std::int64_t>(), first ? 2 * kRows : 0);
    EXPECT_NEAR(ours.report.tau_mean.item<double>(), Pair(state, 1).mean().item<double>(), 1e-15);
    EXPECT_FALSE(ours.parameters.logit_scale.defined());
    state = ours.state;
  }
}

TEST(RobustContrastive, TakesItsNumbersFromTheDeviceToo) {
  for (const char* mode : {"reference", "exact"}) {
    ObjectiveOptions options = Exact();
    options.mode = mode;
    const auto objective = MakeObjective(options);
    at::Tensor state = Fresh(*objective);
    for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
      const double gamma = epoch == 0 ? 1 : 0.4;
      const PerSide<at::Tensor> all = RandomFeatures(3 + static_cast<int>(epoch));
      const ObjectiveResult host = Evaluate(*objective, all, state, gamma, epoch),
                            device = Evaluate(*objective, all, state, gamma, epoch, true);
      ExpectNear(device.state, host.state, mode);
      ExpectNear(device.features.image, host.features.image, mode);
      state = host.state;
    }
  }
}

TEST(RobustContrastive, TauAndItsGradientStayWithinTheirBounds) {
  for (const char* mode : {"reference", "exact"}) {
    for (const double rho : {0.0, 1000.0}) {
      ObjectiveOptions options = Exact();
      options.mode = mode;
      options.rho = rho;
      const auto objective = MakeObjective(options);
      at::Tensor state = Fresh(*objective);
      state.narrow(1, 2, 2).fill_(rho > 0 ? 0.0101 : 0.999);
      for (int visit = 0; visit < 3; ++visit) {
        state = Evaluate(*objective, RandomFeatures(3), state, 0.5, visit).state;
        EXPECT_GE(Pair(state, 1).min().item<double>(), 0.01);
        EXPECT_LE(Pair(state, 1).max().item<double>(), 1);
        EXPECT_LE(Pair(state, 2).abs().max().item<double>(), 5);
        EXPECT_TRUE(state.isfinite().all().item<bool>());
      }
    }
  }
}

TEST(RobustContrastive, StaysFiniteInFloat32AtTheSmallestTau) {
  for (const char* mode : {"reference", "exact"}) {
    ObjectiveOptions options = Exact();
    options.mode = mode;
    options.tau_init = 0.01;
    options.epsilon = 1e-14;
    const auto objective = MakeObjective(options);
    // Two rows whose negatives are as like as can be and the positives opposite: d = ±200.
    for (const double sign : {1.0, -1.0}) {
      const at::Tensor image = at::tensor({1.0f, 0.0f, -1.0f, 0.0f}).view({2, 2});
      const PerSide<at::Tensor> all{image, image * sign};
      StepScalars scalars;
      scalars.logit_scale = at::zeros({});
      scalars.lr_tau = 0.01;
      const auto comm = WorldOfOne();
      const at::Tensor state = at::tensor(objective->initial_state(), at::kFloat).repeat({2, 1});
      const ObjectiveResult result =
          objective->Evaluate({.local = all, .global = all, .first_row = 0, .rows_per_rank = {2}},
                              state, scalars, *comm);
      EXPECT_TRUE(result.features.image.isfinite().all().item<bool>());
      EXPECT_TRUE(result.features.text.isfinite().all().item<bool>());
      EXPECT_TRUE(result.state.isfinite().all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace fastclip
