#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "trainer/objective/global_contrastive.h"
#include "trainer/objective/minibatch_contrastive.h"

namespace fastclip {

std::unique_ptr<ContrastiveObjective> MakeObjective(const ObjectiveOptions& options) {
  const bool reference = options.mode == "reference";
  if (!reference && options.mode != "exact") {
    throw std::invalid_argument(fmt::format(
        "objective.mode is \"{}\"; say \"reference\" (fast_clip's formulas, for which its ρ were "
        "tuned) or \"exact\" (the published objective's gradient)",
        options.mode));
  }
  if (!std::isfinite(options.rho)) {
    throw std::invalid_argument(fmt::format("objective.rho is {}; it must be finite", options.rho));
  }
  if (!(options.epsilon >= 0) || !std::isfinite(options.epsilon)) {
    throw std::invalid_argument(
        fmt::format("objective.epsilon is {}; it must be 0 or more", options.epsilon));
  }
  if (options.tile < 0) {
    throw std::invalid_argument(fmt::format(
        "objective.tile is {}; it is a number of columns, or 0 to pick one", options.tile));
  }
  if (options.name == "fastclip_v1") {
    return std::make_unique<GlobalContrastive>(options, GlobalContrastiveVariant{});
  }
  if (options.name == "fastclip_v3") {
    return std::make_unique<GlobalContrastive>(
        options, GlobalContrastiveVariant{.times_tau = true,
                                          .learns_temperature = true,
                                          .doubles_temperature_gradient = reference});
  }
  if (options.name == "openclip") return std::make_unique<MinibatchContrastive>(options.tile);
  throw std::invalid_argument(fmt::format(
      "objective.name is \"{}\"; there are fastclip_v1, fastclip_v3, openclip", options.name));
}

}  // namespace fastclip
