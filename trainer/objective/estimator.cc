#include "trainer/objective/estimator.h"

#include <ATen/ATen.h>

#include <cmath>
#include <stdexcept>

namespace fastclip {

at::Tensor Seen(const at::Tensor& log_u) {
  return log_u.ge(std::log(1e-35)).logical_and_(log_u.lt(std::numeric_limits<double>::infinity()));
}

at::Tensor MovedLogU(const at::Tensor& log_u, const at::Tensor& seen, const at::Tensor& log_g,
                     const StepScalars& scalars) {
  if (const auto& given = scalars.on_device) {  // γ = 1: ln(e^−∞ + e^(log_g)) is log_g to the bit
    return at::where(seen, at::logaddexp(log_u + given->log_rest, log_g + given->log_gamma), log_g);
  }
  const double gamma = scalars.gamma;
  if (gamma >= 1) return log_g;
  return at::where(seen, at::logaddexp(log_u + std::log1p(-gamma), log_g + std::log(gamma)), log_g);
}

void CheckHasNegatives(const Features& features) {
  if (features.global.image.size(0) < 2) {
    throw std::invalid_argument(
        "a contrastive batch needs at least 2 rows: one row has no negatives");
  }
}

}  // namespace fastclip
