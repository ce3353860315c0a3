#include "trainer/objective/robustness.h"

#include <fmt/format.h>

#include <cmath>

#include "trainer/objective/estimator.h"

namespace fastclip {

std::string RhoWarning(const ObjectiveOptions& objective, const GammaOptions& gamma,
                       std::int64_t batch_size, std::int64_t records) {
  const bool individual = TemperatureOf(objective.name) == TemperatureKind::kIndividual;
  if (!individual && (objective.name != "fastclip_v3" || objective.mode != "exact")) return "";
  const double limit = std::log(static_cast<double>(batch_size - 1));
  if (objective.rho <= limit) return "";
  const double later = std::log(static_cast<double>(records - 1));
  const bool always_one = gamma.schedule != "advice" && gamma.min >= 1 && gamma.start >= 1;
  const std::string line = fmt::format(
      "objective.rho = {:g} is above ln(train.batch_size - 1) = {:.2f}, the limit while gamma is "
      "1: "
      "{} will fall towards {:g}",
      objective.rho, limit, individual ? "the temperatures" : "the temperature", kSmallestTau);
  if (always_one || objective.rho > later) return line + "; choose a smaller rho";
  return line + fmt::format(
                    ". While gamma is below 1, the limit is higher: up to ln(records - 1) = {:.2f}",
                    later);
}

}  // namespace fastclip
