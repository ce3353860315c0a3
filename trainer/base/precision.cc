#include "trainer/base/precision.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <utility>

namespace fastclip {
namespace {

// {parameters, autocast, scales_gradients}
const std::pair<const char*, Precision> kPrecisions[] = {
    {"fp32", {at::kFloat, std::nullopt, false}},
    {"fp64", {at::kDouble, std::nullopt, false}},
    {"amp_bf16", {at::kFloat, at::kBFloat16, false}},
    {"amp", {at::kFloat, at::kHalf, true}}};

}  // namespace

std::vector<std::string> PrecisionNames() {
  std::vector<std::string> names;
  for (const auto& [name, precision] : kPrecisions) names.emplace_back(name);
  return names;
}

std::vector<std::string> ResidualNames() { return {"auto", "fp32", "half"}; }

Precision PrecisionOf(const std::string& name, const std::string& residual) {
  for (const auto& [known, precision] : kPrecisions) {
    if (name != known) continue;
    Precision found = precision;
    found.image_residual_fp32 = residual == "fp32";
    found.text_residual_fp32 = residual != "half";
    return found;
  }
  throw std::invalid_argument(fmt::format("unknown train.precision \"{}\"; use one of {}", name,
                                          fmt::join(PrecisionNames(), ", ")));
}

}  // namespace fastclip
