#include "trainer/objective/temperature.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace fastclip {
namespace {

constexpr double kThreshold = 0.03;  // of "step_thresh"

}  // namespace

void CheckTemperature(const TemperatureOptions& options) {
  if (!(options.init >= 0.01 && options.init <= 1)) {
    throw std::invalid_argument(
        fmt::format("temperature.init = {} must be from 0.01 to 1", options.init));
  }
  if (!std::isfinite(options.lr)) {
    throw std::invalid_argument(fmt::format("temperature.lr = {} must be finite", options.lr));
  }
  if (options.schedule != "cosine" && options.schedule != "model" && options.schedule != "const" &&
      options.schedule != "step_thresh") {
    throw std::invalid_argument(
        fmt::format("unknown temperature.schedule \"{}\"; use cosine, model, const or step_thresh",
                    options.schedule));
  }
}

bool RateReadsTemperature(const TemperatureOptions& options) {
  return options.schedule == "step_thresh";
}

double TemperatureRate(const TemperatureOptions& options, const LearningRateOptions& model,
                       std::int64_t step, const RunLength& run, double logit_scale) {
  const double lr = options.lr < 0 ? model.lr : options.lr;
  if (options.schedule == "const") return lr;
  if (RateReadsTemperature(options)) {
    return 1 / std::exp(logit_scale) <= kThreshold ? lr / 3 : lr;
  }
  LearningRateOptions same = model;
  if (options.schedule == "cosine") same.schedule = "cosine";
  same.lr = lr;
  return LearningRate(same, step, run);
}

at::Tensor TemperatureRateOnDevice(const TemperatureOptions& options,
                                   const LearningRateOptions& model,
                                   const at::Tensor& logit_scale) {
  const double lr = options.lr < 0 ? model.lr : options.lr;
  const at::Tensor tau = logit_scale.detach().to(at::kDouble).exp().reciprocal();
  const at::Tensor low = tau.le(kThreshold).to(at::kDouble);
  return (low * (lr / 3) + (1 - low) * lr).to(at::kFloat);
}

void ClampLogitScale(at::Tensor logit_scale) {
  const c10::NoGradGuard no_grad;
  logit_scale.clamp_(0, std::log(100.0));
}

}  // namespace fastclip
