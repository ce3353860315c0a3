#include "trainer/objective/contrastive_objective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/error_of.h"
#include "trainer/objective/robustness.h"

namespace fastclip {
namespace {

PerSide<at::Tensor> RandomFeatures(std::int64_t rows, std::int64_t width) {
  const auto generator = at::detail::createCPUGenerator(7);
  const auto draw = [&] {
    const at::Tensor rows_of = at::randn({rows, width}, generator, at::kDouble);
    return rows_of / rows_of.norm(2, 1, /*keepdim=*/true);
  };
  return {draw(), draw()};
}

// Two rows whose positives have the similarity `own` and whose negatives −own: ΔS = −2·own
// throughout.
PerSide<at::Tensor> TwoRows(double own) {
  const double rest = std::sqrt(1 - own * own);
  return {at::tensor({1.0, 0.0, -1.0, 0.0}, at::kDouble).view({2, 2}),
          at::tensor({own, rest, -own, rest}, at::kDouble).view({2, 2})};
}

Features OneRank(const PerSide<at::Tensor>& all) {
  return {.local = all, .global = all, .first_row = 0, .rows_per_rank = {all.image.size(0)}};
}

PerSide<at::Tensor> To(const PerSide<at::Tensor>& all, at::ScalarType dtype) {
  return {all.image.to(dtype), all.text.to(dtype)};
}

at::Tensor Unseen(std::int64_t rows, at::ScalarType dtype) {
  return at::full({rows, 2}, -std::numeric_limits<double>::infinity(), dtype);
}

StepScalars At(double temperature, double gamma) {
  StepScalars scalars;
  scalars.logit_scale = at::full({}, std::log(1 / temperature), at::kDouble);
  scalars.gamma = gamma;
  return scalars;
}

double Gap(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

void ExpectNear(const ObjectiveResult& ours, const ObjectiveResult& exact, double relative) {
  const auto near = [&](const at::Tensor& a, const at::Tensor& b, const char* what) {
    // What float32 cannot hold is nothing in it.
    EXPECT_LE(Gap(a, b), relative * b.abs().max().item<double>() + 1e-37) << what;
  };
  near(ours.features.image, exact.features.image, "image");
  near(ours.features.text, exact.features.text, "text");
  if (exact.state.defined()) near(ours.state, exact.state, "state");
  near(ours.report.loss, exact.report.loss, "loss");
  ASSERT_EQ(ours.parameters.logit_scale.defined(), exact.parameters.logit_scale.defined());
  if (exact.parameters.logit_scale.defined()) {
    near(ours.parameters.logit_scale, exact.parameters.logit_scale, "logit_scale");
  }
}

TEST(ContrastiveObjective, ReportsClipsLossAndTheBatchsAccuracyForEveryObjective) {
  const PerSide<at::Tensor> all = RandomFeatures(9, 5);
  const double tau = 0.07;
  const at::Tensor logits = all.image.mm(all.text.t()) / tau;
  const auto loss = [](const at::Tensor& z) { return at::logsumexp(z, 1) - z.diagonal(); };
  const double clip = 0.5 * (loss(logits).mean() + loss(logits.t()).mean()).item<double>();
  const auto found = [](const at::Tensor& z) {
    return z.argmax(1).eq(at::arange(z.size(0), at::kLong)).to(at::kDouble).mean().item<double>();
  };
  const double accuracy = 0.5 * (found(logits) + found(logits.t()));
  ASSERT_GT(accuracy, 0);
  const auto comm = WorldOfOne();
  for (const std::string& name : ObjectiveNames()) {
    for (const std::int64_t tile : {0, 4}) {
      const auto objective =
          MakeObjective({.name = name, .mode = "reference", .tile = tile, .tau_init = tau});
      StepScalars scalars = At(tau, 1);
      scalars.logit_bias = at::full({}, -2.0, at::kDouble);
      const auto initial = objective->initial_state();
      const at::Tensor state = at::tensor(initial, at::kDouble).repeat({9, 1});  // [9, columns]
      const LossReport report = objective->Evaluate(OneRank(all), state, scalars, *comm).report;
      EXPECT_NEAR(report.in_batch_accuracy.item<double>(), accuracy, 1e-12) << name;
      // SigLIP's own loss stands under that name, as in OpenCLIP.
      const double expected = name == "siglip" ? report.loss.item<double>() : clip;
      EXPECT_NEAR(report.contrastive_loss.item<double>(), expected, 1e-12) << name;
    }
  }
}

TEST(GlobalContrastive, StaysFiniteWhereTheReferenceOverflows) {
  const auto comm = WorldOfOne();
  // ΔS/τ = ±200: exp overflows float32, or vanishes.
  for (const double own : {-1.0, 1.0}) {
    for (const char* name : {"fastclip_v0", "fastclip_v1", "fastclip_v3"}) {
      for (const double gamma : {1.0, 0.3}) {
        const auto objective = MakeObjective({.name = name, .mode = "reference"});
        const PerSide<at::Tensor> all = TwoRows(own);
        ObjectiveResult result[2];
        for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
          at::Tensor state = Unseen(2, dtype);
          state[0] = 0.5;
          ObjectiveResult& here = result[dtype == at::kDouble];
          here = objective->Evaluate(OneRank(To(all, dtype)), state, At(0.01, gamma), *comm);
          EXPECT_TRUE(here.features.image.isfinite().all().item<bool>());
          EXPECT_TRUE(here.features.text.isfinite().all().item<bool>());
          EXPECT_TRUE(here.state.isfinite().all().item<bool>());
          EXPECT_TRUE(here.report.loss.isfinite().item<bool>());
          if (here.parameters.logit_scale.defined()) {
            EXPECT_TRUE(here.parameters.logit_scale.isfinite().item<bool>());
          }
        }
        ExpectNear(result[0], result[1], 3e-5);
      }
    }
  }
}

TEST(GlobalContrastive, ExactV3WithGammaOneIsTheGradientOfThePublishedObjective) {
  const double rho = 6.5;
  const PerSide<at::Tensor> all = RandomFeatures(6, 5);
  const StepScalars scalars = At(0.07, 1);
  const auto comm = WorldOfOne();
  const ObjectiveResult ours =
      MakeObjective({.name = "fastclip_v3", .mode = "exact", .rho = rho, .epsilon = 0})
          ->Evaluate(OneRank(all), Unseen(6, at::kDouble), scalars, *comm);

  // ½·(τ·mean(ln g1 + ln g2) + 2ρτ), by autograd over the whole matrix.
  const at::Tensor image = all.image.clone().set_requires_grad(true);
  const at::Tensor text = all.text.clone().set_requires_grad(true);
  const at::Tensor t = scalars.logit_scale.clone().set_requires_grad(true);
  const at::Tensor similarity = image.mm(text.t());
  const at::Tensor diagonal = at::eye(6, at::kBool);
  at::Tensor mean = at::zeros({}, at::kDouble);
  for (const at::Tensor& rows : {similarity, similarity.t()}) {
    const at::Tensor d = (rows - similarity.diagonal().unsqueeze(1)) * t.exp();
    const at::Tensor g = d.exp().masked_fill(diagonal, 0).sum(1) / 5;
    mean = mean + g.log().mean();
  }
  ((mean + 2 * rho) * (-t).exp() / 2).backward();

  EXPECT_LE(Gap(ours.features.image, image.grad()),
            1e-12 * image.grad().abs().max().item<double>());
  EXPECT_LE(Gap(ours.features.text, text.grad()), 1e-12 * text.grad().abs().max().item<double>());
  EXPECT_LE(Gap(ours.parameters.logit_scale, t.grad()), 1e-12 * std::abs(t.grad().item<double>()));
}

TEST(GlobalContrastive, ALargerRhoThanTheLogarithmOfTheNegativesLowersTheTemperatureAlways) {
  constexpr std::int64_t kRows = 16;
  const auto comm = WorldOfOne();
  const auto gradient = [&](const char* name, double rho, double tau) {
    return MakeObjective({.name = name, .mode = "exact", .rho = rho, .epsilon = 0})
        ->Evaluate(OneRank(RandomFeatures(kRows, 5)), Unseen(kRows, at::kDouble), At(tau, 1), *comm)
        .parameters.logit_scale.item<double>();
  };
  const double limit = std::log(kRows - 1.0);
  bool rises = false;
  for (const double tau : {0.01, 0.02, 0.05, 0.1, 0.3, 1.0}) {
    // dL/dt below 0: t = ln(1/τ) grows.
    EXPECT_LT(gradient("fastclip_v3", limit + 1e-6, tau), 0) << tau;
    rises = rises || gradient("fastclip_v3", limit / 2, tau) > 0;
  }
  EXPECT_TRUE(rises);
}

TEST(RhoWarning, TellsTheLimitAndWhatTheTemperatureWillDo) {
  const GammaOptions one{.schedule = "constant", .start = 1, .min = 1};
  const auto warning = [](const char* name, const char* mode, double rho,
                          const GammaOptions& gamma) {
    return RhoWarning({.name = name, .mode = mode, .rho = rho}, gamma, 16, 1000);
  };
  EXPECT_EQ(warning("fastclip_v3", "exact", 2.7, {}), "");
  EXPECT_EQ(warning("fastclip_v3", "reference", 6.5, {}), "");
  EXPECT_EQ(warning("fastclip_v1", "exact", 6.5, {}), "");
  EXPECT_EQ(
      warning("fastclip_v3", "exact", 6.5, {}),
      "objective.rho = 6.5 is above ln(train.batch_size - 1) = 2.71, the limit while gamma is 1: "
      "the temperature will fall towards 0.01. While gamma is below 1, the limit is higher: up to "
      "ln(records - 1) = 6.91");
  EXPECT_EQ(
      warning("fastclip_v2", "reference", 6.5, one),
      "objective.rho = 6.5 is above ln(train.batch_size - 1) = 2.71, the limit while gamma is 1: "
      "the temperatures will fall towards 0.01; choose a smaller rho");
  EXPECT_NE(warning("isogclr", "exact", 8, {}).find("choose a smaller rho"), std::string::npos);
}

TEST(GlobalContrastive, ModesDifferInTheTemperatureGradientAlone) {
  const PerSide<at::Tensor> all = RandomFeatures(6, 5);
  const auto comm = WorldOfOne();
  const auto run = [&](const char* name, const char* mode) {
    return MakeObjective({.name = name, .mode = mode})
        ->Evaluate(OneRank(all), at::zeros({6, 2}, at::kDouble), At(0.07, 0.5), *comm);
  };
  const ObjectiveResult reference = run("fastclip_v3", "reference");
  const ObjectiveResult exact = run("fastclip_v3", "exact");
  EXPECT_TRUE(reference.features.image.equal(exact.features.image));
  EXPECT_TRUE(reference.features.text.equal(exact.features.text));
  EXPECT_TRUE(reference.state.equal(exact.state));
  const at::Tensor contrastive = (all.image * exact.features.image).sum();
  EXPECT_LE(Gap(reference.parameters.logit_scale - exact.parameters.logit_scale, contrastive),
            1e-12);
  EXPECT_FALSE(run("fastclip_v1", "reference").parameters.logit_scale.defined());
}

TEST(GlobalContrastive, CountsTheSidesItSeesFirst) {
  const PerSide<at::Tensor> all = RandomFeatures(4, 5);
  at::Tensor state = at::zeros({4, 2}, at::kFloat);
  state[0][0] = -std::numeric_limits<float>::infinity();
  state[1][1] = std::numeric_limits<float>::quiet_NaN();
  state[2][0] = std::numeric_limits<float>::infinity();
  state[3][1] = -81;  // u < 1e-35
  const auto comm = WorldOfOne();
  const ObjectiveResult result = MakeObjective({.name = "fastclip_v1", .mode = "exact"})
                                     ->Evaluate(OneRank(all), state, At(0.07, 0.5), *comm);
  EXPECT_EQ(result.report.first_visits.item<std::int64_t>(), 4);
  EXPECT_TRUE(result.state.isfinite().all().item<bool>());
  EXPECT_EQ(result.state.scalar_type(), at::kFloat);  // the table's, whatever the features'
  EXPECT_EQ(result.features.image.scalar_type(), at::kDouble);
}

TEST(GlobalContrastive, KeepsNoGraph) {
  PerSide<at::Tensor> all = RandomFeatures(4, 5);
  all.image.set_requires_grad(true);
  StepScalars scalars = At(0.07, 1);
  scalars.logit_scale.set_requires_grad(true);
  const auto comm = WorldOfOne();
  const ObjectiveResult result =
      MakeObjective({.mode = "exact"})
          ->Evaluate(OneRank(all), Unseen(4, at::kFloat), scalars, *comm);
  EXPECT_FALSE(result.features.image.requires_grad());
  EXPECT_FALSE(result.parameters.logit_scale.requires_grad());
}

TEST(GlobalContrastive, RefusesABatchWithoutNegatives) {
  const auto comm = WorldOfOne();
  EXPECT_THROW(
      MakeObjective({.mode = "exact"})
          ->Evaluate(OneRank(RandomFeatures(1, 5)), Unseen(1, at::kFloat), At(0.07, 1), *comm),
      std::invalid_argument);
}

TEST(MinibatchContrastive, KeepsSmallLossesExact) {
  const auto comm = WorldOfOne();
  const auto objective = MakeObjective({.name = "openclip", .mode = "exact"});
  for (const double own : {0.02, 0.06}) {  // ΔS/τ = −4 and −12: cross entropies of 2e-2 and 6e-6
    const PerSide<at::Tensor> all = TwoRows(own);
    const ObjectiveResult exact = objective->Evaluate(OneRank(all), {}, At(0.01, 1), *comm);
    const ObjectiveResult ours =
        objective->Evaluate(OneRank(To(all, at::kFloat)), {}, At(0.01, 1), *comm);
    ExpectNear(ours, exact, 3e-5);
  }
}

TEST(MinibatchContrastive, HasNothingToLearnFromOneRow) {
  const auto comm = WorldOfOne();
  const ObjectiveResult result =
      MakeObjective({.name = "openclip", .mode = "exact"})
          ->Evaluate(OneRank(RandomFeatures(1, 5)), {}, At(0.07, 1), *comm);
  EXPECT_EQ(result.report.loss.item<double>(), 0);
  EXPECT_EQ(result.features.image.abs().max().item<double>(), 0);
}

TEST(MakeObjective, NamesWhatThereIs) {
  const auto message = [](const ObjectiveOptions& options) {
    return ErrorOf<std::invalid_argument>([&] { MakeObjective(options); });
  };
  EXPECT_NE(message({.name = "fastclip_v3", .mode = ""}).find("\"reference\""), std::string::npos);
  EXPECT_NE(message({.name = "fastclip", .mode = "exact"}).find("fastclip_v1"), std::string::npos);
  EXPECT_NE(message({.mode = "exact", .epsilon = -1}).find("epsilon"), std::string::npos);
  EXPECT_NE(message({.mode = "exact", .rho = NAN}).find("rho"), std::string::npos);
  EXPECT_NE(message({.mode = "exact", .tile = -1}).find("tile"), std::string::npos);
  EXPECT_EQ(message({.mode = "exact"}), "");
}

}  // namespace
}  // namespace fastclip
