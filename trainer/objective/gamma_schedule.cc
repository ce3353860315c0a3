#include "trainer/objective/gamma_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace fastclip {

void CheckGamma(const GammaOptions& options) {
  if (options.schedule != "cosine" && options.schedule != "constant" &&
      options.schedule != "advice") {
    throw std::invalid_argument(fmt::format(
        "unknown gamma.schedule \"{}\"; use cosine, constant or advice", options.schedule));
  }
  if (!(options.min > 0 && options.min <= 1)) {
    throw std::invalid_argument(fmt::format("gamma.min = {} must be > 0 and <= 1", options.min));
  }
  if (!(options.start > 0 && options.start <= 1)) {
    throw std::invalid_argument(
        fmt::format("gamma.start = {} must be > 0 and <= 1", options.start));
  }
  if (options.start < options.min) {
    throw std::invalid_argument(fmt::format(
        "gamma.start = {} is below the smallest gamma {}; set gamma.start higher{}", options.start,
        options.min, options.schedule == "advice" ? "" : ", or gamma.min lower"));
  }
  if (options.decay_epochs < 0) {
    throw std::invalid_argument(fmt::format(
        "gamma.decay_epochs = {} must be >= 1, or 0 for half of the run", options.decay_epochs));
  }
  if (options.schedule == "advice" && options.decay_epochs > 0) {
    throw std::invalid_argument(fmt::format(
        "gamma.decay_epochs is {}, but \"advice\" always decays over the whole run; set it to 0, "
        "or use cosine with your own gamma.min",
        options.decay_epochs));
  }
}

double AdvisedGammaMin(std::int64_t epochs) {
  return std::min(1.0, 4.177 * std::pow(static_cast<double>(epochs), -0.7265));
}

double Gamma(const GammaOptions& options, std::int64_t epoch, std::int64_t epochs) {
  if (epoch <= 0) return options.start;
  if (options.schedule == "constant") return options.min;
  const bool advice = options.schedule == "advice";
  const double min = advice ? AdvisedGammaMin(epochs) : options.min;
  const std::int64_t decay = advice                     ? epochs
                             : options.decay_epochs > 0 ? options.decay_epochs
                                                        : std::max<std::int64_t>(epochs / 2, 1);
  if (epoch >= decay) return min;
  // γ_min + (γ_start−γ_min)·½(1 + cos(π·epoch/E))
  const double progress = static_cast<double>(epoch) / static_cast<double>(decay);
  return min + (options.start - min) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace fastclip
