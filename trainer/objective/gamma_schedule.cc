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
        "the schedule of γ is \"{}\"; there are cosine, constant, advice", options.schedule));
  }
  if (!(options.min > 0 && options.min <= 1)) {
    throw std::invalid_argument(
        fmt::format("the smallest γ is {}; it must be above 0 and at most 1", options.min));
  }
  if (!(options.start > 0 && options.start <= 1)) {
    throw std::invalid_argument(
        fmt::format("γ starts at {}; it must be above 0 and at most 1", options.start));
  }
  if (options.start < options.min) {
    throw std::invalid_argument(fmt::format(
        "γ starts at {}, below its smallest value {}: set gamma.start higher{}", options.start,
        options.min, options.schedule == "advice" ? "" : ", or gamma.min lower"));
  }
  if (options.decay_epochs < 0) {
    throw std::invalid_argument(
        fmt::format("γ decays over {} epochs; say 1 or more, or 0 for half of the run's",
                    options.decay_epochs));
  }
  if (options.schedule == "advice" && options.decay_epochs > 0) {
    throw std::invalid_argument(
        fmt::format("advice lets γ fall over the whole run, but gamma.decay_epochs is {}; leave it "
                    "at 0, or take cosine with a gamma.min of your own",
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
