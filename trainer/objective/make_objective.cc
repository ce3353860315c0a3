#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <utility>

#include "trainer/objective/global_contrastive.h"
#include "trainer/objective/minibatch_contrastive.h"
#include "trainer/objective/robust_contrastive.h"
#include "trainer/objective/sigmoid_contrastive.h"

namespace fastclip {
namespace {

using Maker = std::unique_ptr<ContrastiveObjective> (*)(const ObjectiveOptions&);

std::unique_ptr<ContrastiveObjective> MakeConstant(const ObjectiveOptions& options) {
  return std::make_unique<GlobalContrastive>(options, GlobalContrastiveVariant{});
}

template <bool kTimesTau>
std::unique_ptr<ContrastiveObjective> MakeLearned(const ObjectiveOptions& options) {
  return std::make_unique<GlobalContrastive>(
      options,
      GlobalContrastiveVariant{.times_tau = kTimesTau,
                               .learns_temperature = true,
                               .doubles_temperature_gradient = options.mode == "reference"});
}

std::unique_ptr<ContrastiveObjective> MakeRobust(const ObjectiveOptions& options) {
  return std::make_unique<RobustContrastive>(options);
}

struct Kind {
  const char* name;
  TemperatureKind temperature;
  Maker make;
};

// SogCLR and iSogCLR are v1 and v2 with a constant γ, which the γ schedule sees to.
constexpr Kind kKinds[] = {
    {"fastclip_v0", TemperatureKind::kLearned, MakeLearned</*kTimesTau=*/false>},
    {"fastclip_v1", TemperatureKind::kConstant, MakeConstant},
    {"fastclip_v2", TemperatureKind::kIndividual, MakeRobust},
    {"fastclip_v3", TemperatureKind::kLearned, MakeLearned</*kTimesTau=*/true>},
    {"sogclr", TemperatureKind::kConstant, MakeConstant},
    {"isogclr", TemperatureKind::kIndividual, MakeRobust},
    {"openclip", TemperatureKind::kLearned,
     [](const ObjectiveOptions& options) -> std::unique_ptr<ContrastiveObjective> {
       return std::make_unique<MinibatchContrastive>(options.tile);
     }},
    {"siglip", TemperatureKind::kLearned,
     [](const ObjectiveOptions& options) -> std::unique_ptr<ContrastiveObjective> {
       return std::make_unique<SigmoidContrastive>(options.tile);
     }}};

const Kind& KindOf(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (name == kind.name) return kind;
  }
  throw std::invalid_argument(fmt::format("unknown objective.name \"{}\"; use one of {}", name,
                                          fmt::join(ObjectiveNames(), ", ")));
}

}  // namespace

std::vector<std::string> ObjectiveNames() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

TemperatureKind TemperatureOf(const std::string& objective) {
  return KindOf(objective).temperature;
}

bool HasItsOwnLoss(const std::string& objective) {
  return objective != "openclip" && objective != "siglip";
}

std::unique_ptr<ContrastiveObjective> MakeObjective(const ObjectiveOptions& options) {
  const Kind& kind = KindOf(options.name);
  if (options.mode != "reference" && options.mode != "exact") {
    throw std::invalid_argument(fmt::format(
        "objective.mode must be \"exact\" (the published objective's gradient) or \"reference\" "
        "(fast_clip's formulas, for which its rho was tuned), not \"{}\"",
        options.mode));
  }
  if (!std::isfinite(options.rho)) {
    throw std::invalid_argument(fmt::format("objective.rho = {} must be finite", options.rho));
  }
  if (!(options.epsilon >= 0) || !std::isfinite(options.epsilon)) {
    throw std::invalid_argument(
        fmt::format("objective.epsilon = {} must be >= 0 and finite", options.epsilon));
  }
  if (options.tile < 0) {
    throw std::invalid_argument(fmt::format(
        "objective.tile = {} must be a number of columns, or 0 for automatic", options.tile));
  }
  return kind.make(options);
}

}  // namespace fastclip
