#include "trainer/optim/learning_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace fastclip {

void CheckLearningRate(const LearningRateOptions& options) {
  if (options.schedule != "cosine" && options.schedule != "const") {
    throw std::invalid_argument(fmt::format(
        "the learning rate's schedule is \"{}\"; there are cosine, const", options.schedule));
  }
  if (!(options.lr >= 0) || !std::isfinite(options.lr)) {
    throw std::invalid_argument(
        fmt::format("the learning rate is {}; it must be 0 or more", options.lr));
  }
  if (!(options.lr_min >= 0) || !std::isfinite(options.lr_min)) {
    throw std::invalid_argument(
        fmt::format("the smallest learning rate is {}; it must be 0 or more", options.lr_min));
  }
  if (options.warmup < 0) {
    throw std::invalid_argument(
        fmt::format("the warm-up has {} steps; it must have 0 or more", options.warmup));
  }
}

double LearningRate(const LearningRateOptions& options, std::int64_t step, std::int64_t steps) {
  if (step < options.warmup) {
    return options.lr * static_cast<double>(step + 1) / static_cast<double>(options.warmup);
  }
  if (options.schedule == "const") return options.lr;
  // lr_min + (lr − lr_min)·½(1 + cos(π·progress)); it stays at lr_min past the end.
  const auto falling = static_cast<double>(std::max<std::int64_t>(steps - options.warmup, 1));
  const double progress = std::min(static_cast<double>(step - options.warmup) / falling, 1.0);
  return options.lr_min +
         (options.lr - options.lr_min) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace fastclip
