#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "trainer/optim/fused_adamw.h"

namespace fastclip {

std::unique_ptr<Optimizer> MakeOptimizer(const NamedTensors& parameters,
                                         const OptimizerOptions& options) {
  const auto beta_fits = [](double beta) { return beta >= 0 && beta < 1; };
  if (!beta_fits(options.beta1) || !beta_fits(options.beta2)) {
    throw std::invalid_argument(
        fmt::format("optimizer.beta1 and beta2 are {} and {}; they must be 0 or more and below 1",
                    options.beta1, options.beta2));
  }
  if (!(options.eps >= 0) || !std::isfinite(options.eps)) {
    throw std::invalid_argument(
        fmt::format("optimizer.eps is {}; it must be 0 or more", options.eps));
  }
  if (!(options.weight_decay >= 0) || !std::isfinite(options.weight_decay)) {
    throw std::invalid_argument(
        fmt::format("optimizer.weight_decay is {}; it must be 0 or more", options.weight_decay));
  }
  if (options.name == "adamw") return std::make_unique<FusedAdamW>(parameters, options);
  throw std::invalid_argument(
      fmt::format("optimizer.name is \"{}\"; there is adamw", options.name));
}

}  // namespace fastclip
