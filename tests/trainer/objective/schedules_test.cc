#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "trainer/objective/gamma_schedule.h"
#include "trainer/objective/temperature.h"
#include "trainer/optim/learning_rate.h"

namespace fastclip {
namespace {

TEST(Gamma, DecaysOverHalfOfTheRunUnlessToldOtherwise) {
  EXPECT_EQ(Gamma({}, 0, 10), 1);
  EXPECT_GT(Gamma({}, 4, 10), 0.2);
  EXPECT_EQ(Gamma({}, 5, 10), 0.2);
  EXPECT_EQ(Gamma({.decay_epochs = 3}, 3, 10), 0.2);
  EXPECT_EQ(Gamma({}, 0, 1), 1);
  EXPECT_EQ(Gamma({.schedule = "constant", .min = 0.6}, 0, 10), 1);
  EXPECT_EQ(Gamma({.schedule = "constant", .min = 0.6}, 1, 10), 0.6);
}

TEST(Gamma, StartsLowerWhereEstimatorsAreKept) {
  EXPECT_EQ(Gamma({.start = 0.5}, 0, 10), 0.5);
  EXPECT_NEAR(Gamma({.start = 0.5, .min = 0.2, .decay_epochs = 4}, 2, 10), 0.35, 1e-12);
  EXPECT_EQ(Gamma({.start = 0.5}, 5, 10), 0.2);
  EXPECT_EQ(Gamma({.schedule = "constant", .start = 0.7, .min = 0.6}, 0, 10), 0.7);
}

TEST(Gamma, FollowsTheAdviceForTheRunsLength) {
  EXPECT_EQ(AdvisedGammaMin(1), 1);
  EXPECT_EQ(AdvisedGammaMin(7), 1);
  EXPECT_NEAR(AdvisedGammaMin(8), 0.922, 5e-4);
  EXPECT_NEAR(AdvisedGammaMin(30), 0.353, 5e-4);
  EXPECT_NEAR(AdvisedGammaMin(37), 0.303, 5e-4);
  const GammaOptions advice{.schedule = "advice", .min = 0.01};
  const GammaOptions cosine{.min = AdvisedGammaMin(30), .decay_epochs = 30};
  for (const std::int64_t epoch : {0, 1, 15, 29, 30, 40}) {
    EXPECT_EQ(Gamma(advice, epoch, 30), Gamma(cosine, epoch, 30)) << epoch;
  }
  EXPECT_EQ(Gamma(advice, 6, 7), 1);
  EXPECT_NO_THROW(CheckGamma(advice));
}

TEST(Gamma, RefusesWhatCannotBe) {
  EXPECT_THROW(CheckGamma({.schedule = "linear"}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.schedule = "advice", .decay_epochs = 3}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.min = 0}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.min = 1.5}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.min = NAN}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.decay_epochs = -1}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.start = 0}), std::invalid_argument);
  EXPECT_THROW(CheckGamma({.start = 0.5, .min = 0.6}), std::invalid_argument);
}

TEST(LearningRate, StaysAtItsMinimumPastTheEnd) {
  const LearningRateOptions options{.lr = 1, .lr_min = 0.1, .warmup = 2};
  EXPECT_EQ(LearningRate(options, 0, {10}), 0.5);
  EXPECT_EQ(LearningRate(options, 1, {10}), 1);
  EXPECT_EQ(LearningRate(options, 2, {10}), 1);
  EXPECT_NEAR(LearningRate(options, 10, {10}), 0.1, 1e-15);
  EXPECT_NEAR(LearningRate(options, 15, {10}), 0.1, 1e-15);
}

TEST(LearningRate, CoolsDownOverTheLastEpochs) {
  const RunLength run{.steps = 40, .steps_per_epoch = 10};
  LearningRateOptions options{.schedule = "const-cooldown",
                              .lr = 1,
                              .warmup = 2,
                              .cooldown_epochs = 2,
                              .cooldown_end = 0.2};
  EXPECT_EQ(LearningRate(options, 0, run), 0.5);
  EXPECT_EQ(LearningRate(options, 19, run), 1);
  EXPECT_EQ(LearningRate(options, 20, run), 1);
  EXPECT_NEAR(LearningRate(options, 30, run), 0.6, 1e-15);
  EXPECT_NEAR(LearningRate(options, 40, run), 0.2, 1e-15);
  EXPECT_NEAR(LearningRate(options, 50, run), 0.2, 1e-15);
  options.cooldown_power = 2;
  EXPECT_NEAR(LearningRate(options, 30, run), 0.4, 1e-15);
}

TEST(LearningRate, SurvivesAWarmUpLongerThanTheRun) {
  EXPECT_EQ(LearningRate({.lr = 1, .warmup = 10}, 4, {5}), 0.5);
  EXPECT_EQ(LearningRate({.lr = 1, .warmup = 5}, 5, {5}), 1);
}

TEST(LearningRate, WarmsUpInTheCooldownsTimeAndFallsFromWhereItThenIs) {
  const LearningRateOptions options{
      .schedule = "const-cooldown", .lr = 1, .warmup = 6, .cooldown_epochs = 2};
  const RunLength run{.steps = 8, .steps_per_epoch = 2};
  EXPECT_EQ(LearningRate(options, 5, run), 1);
  EXPECT_EQ(LearningRate(options, 6, run), 0.5);
}

TEST(LearningRate, RefusesWhatCannotBe) {
  EXPECT_THROW(CheckLearningRate({.schedule = "step"}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.lr = -1}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.lr = INFINITY}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.lr_min = NAN}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.warmup = -1}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.schedule = "const-cooldown"}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.cooldown_power = 0}), std::invalid_argument);
  EXPECT_THROW(CheckLearningRate({.cooldown_end = -1}), std::invalid_argument);
  EXPECT_NO_THROW(CheckLearningRate({.schedule = "const-cooldown", .cooldown_epochs = 1}));
}

TEST(Temperature, FollowsItsRules) {
  const LearningRateOptions model{.schedule = "const", .lr = 1, .lr_min = 0.1, .warmup = 4};
  const double warm = std::log(1 / 0.07), cold = std::log(1 / 0.02);
  const auto rate = [&](double lr, const char* schedule, std::int64_t step, double t) {
    return TemperatureRate({.lr = lr, .schedule = schedule}, model, step, {10}, t);
  };
  EXPECT_EQ(rate(-1, "cosine", 0, warm), 0.25);  // the model's rate and warm-up
  EXPECT_EQ(rate(2, "cosine", 0, warm), 0.5);
  EXPECT_NEAR(rate(2, "cosine", 10, warm), 0.1, 1e-15);
  EXPECT_EQ(rate(2, "const", 0, cold), 2);
  EXPECT_EQ(rate(-1, "step_thresh", 0, warm), 1);
  EXPECT_EQ(rate(3, "step_thresh", 0, cold), 1);
  for (const double t : {warm, cold}) {  // as the device works it out
    EXPECT_EQ(TemperatureRateOnDevice({.lr = 3, .schedule = "step_thresh"}, model, at::full({}, t))
                  .item<float>(),
              rate(3, "step_thresh", 0, t));
  }
}

TEST(Temperature, FallsAlongACosineWhateverTheModelsScheduleIs) {
  LearningRateOptions model{.lr = 1, .lr_min = 0.1, .warmup = 4, .cooldown_epochs = 2};
  const RunLength run{.steps = 20, .steps_per_epoch = 2};
  const double t = 2.5;
  for (const char* schedule : {"cosine", "const", "const-cooldown"}) {
    model.schedule = schedule;
    const auto rate = [&](double lr, std::int64_t step) {
      return TemperatureRate({.lr = lr, .schedule = "cosine"}, model, step, run, t);
    };
    EXPECT_EQ(rate(2, 1), 1) << schedule;
    EXPECT_NEAR(rate(2, 12), 1.05, 1e-15) << schedule;
    EXPECT_NEAR(rate(2, 20), 0.1, 1e-15) << schedule;
    EXPECT_NEAR(rate(-1, 12), 0.55, 1e-15) << schedule;
  }
}

TEST(Temperature, FollowsTheModelsScheduleWhereAsked) {
  LearningRateOptions model{.lr = 1, .warmup = 4, .cooldown_epochs = 2, .cooldown_end = 0.1};
  const RunLength run{.steps = 20, .steps_per_epoch = 2};
  const double t = 2.5;
  for (const char* schedule : {"cosine", "const", "const-cooldown"}) {
    model.schedule = schedule;
    for (const std::int64_t step : {0, 4, 12, 18, 20}) {
      EXPECT_EQ(TemperatureRate({.schedule = "model"}, model, step, run, t),
                LearningRate(model, step, run))
          << schedule << " " << step;
    }
  }
  // The last schedule, const-cooldown, with a rate of its own.
  EXPECT_EQ(TemperatureRate({.lr = 2, .schedule = "model"}, model, 10, run, t), 2);
  EXPECT_NEAR(TemperatureRate({.lr = 2, .schedule = "model"}, model, 18, run, t), 1.05, 1e-15);
}

TEST(Temperature, IsKeptInItsRange) {
  const at::Tensor t = at::full({}, 5.0).set_requires_grad(true);
  ClampLogitScale(t);
  EXPECT_FLOAT_EQ(t.item<float>(), std::log(100.0F));
  const at::Tensor below = at::full({}, -0.5);
  ClampLogitScale(below);
  EXPECT_EQ(below.item<float>(), 0);
}

TEST(Temperature, RefusesWhatCannotBe) {
  EXPECT_THROW(CheckTemperature({.init = 0.001}), std::invalid_argument);
  EXPECT_THROW(CheckTemperature({.init = 2}), std::invalid_argument);
  EXPECT_THROW(CheckTemperature({.lr = NAN}), std::invalid_argument);
  EXPECT_THROW(CheckTemperature({.schedule = "linear"}), std::invalid_argument);
  EXPECT_NO_THROW(CheckTemperature({}));
}

}  // namespace
}  // namespace fastclip
