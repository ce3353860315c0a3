#include "trainer/optim/learning_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace fastclip {
namespace {

void CheckRate(const char* what, double rate) {
  if (rate >= 0 && std::isfinite(rate)) return;
  throw std::invalid_argument(fmt::format("{} = {} must be >= 0 and finite", what, rate));
}

// How far `step` is between `first` (0) and `last` (1), and 1 after it.
double Progress(std::int64_t step, std::int64_t first, std::int64_t last) {
  const auto length = static_cast<double>(std::max<std::int64_t>(last - first, 1));
  return std::min(static_cast<double>(step - first) / length, 1.0);
}

}  // namespace

void CheckLearningRate(const LearningRateOptions& options) {
  const std::string& schedule = options.schedule;
  if (schedule != "cosine" && schedule != "const" && schedule != "const-cooldown") {
    throw std::invalid_argument(fmt::format(
        "unknown learning_rate.schedule \"{}\"; use cosine, const or const-cooldown", schedule));
  }
  CheckRate("learning_rate.lr", options.lr);
  CheckRate("learning_rate.lr_min", options.lr_min);
  CheckRate("learning_rate.cooldown_end", options.cooldown_end);
  if (options.warmup < 0) {
    throw std::invalid_argument(
        fmt::format("learning_rate.warmup = {} must be >= 0", options.warmup));
  }
  if (schedule == "const-cooldown" && options.cooldown_epochs < 1) {
    throw std::invalid_argument(fmt::format(
        "learning_rate.cooldown_epochs = {} must be >= 1 for const-cooldown (use const for no "
        "cooldown)",
        options.cooldown_epochs));
  }
  if (!(options.cooldown_power > 0) || !std::isfinite(options.cooldown_power)) {
    throw std::invalid_argument(fmt::format(
        "learning_rate.cooldown_power = {} must be > 0 and finite", options.cooldown_power));
  }
}

double LearningRate(const LearningRateOptions& options, std::int64_t step, const RunLength& run) {
  if (step < options.warmup) {
    return options.lr * static_cast<double>(step + 1) / static_cast<double>(options.warmup);
  }
  if (options.schedule == "const") return options.lr;
  if (options.schedule == "const-cooldown") {
    const std::int64_t first =
        run.steps -
        std::llround(static_cast<double>(options.cooldown_epochs) * run.steps_per_epoch);
    if (step < first) return options.lr;
    // end + (lr − end)·(1 − progress)^power; it stays at the end's rate past the end.
    const double left = 1 - Progress(step, first, run.steps);
    return options.cooldown_end +
           (options.lr - options.cooldown_end) * std::pow(left, options.cooldown_power);
  }
  // lr_min + (lr − lr_min)·½(1 + cos(π·progress)); it stays at lr_min past the end.
  const double progress = Progress(step, options.warmup, run.steps);
  return options.lr_min +
         (options.lr - options.lr_min) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace fastclip
