#include "trainer/objective/temperature.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace fastclip {

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

double TemperatureRate(const TemperatureOptions& options, const LearningRateOptions& model,
                       std::int64_t step, const RunLength& run, const at::Tensor& logit_scale) {
  const double lr = options.lr < 0 ? model.lr : options.lr;
  if (options.schedule == "const") return lr;
  if (options.schedule == "step_thresh") {
    return 1 / std::exp(logit_scale.item<double>()) <= 0.03 ? lr / 3 : lr;
  }
  LearningRateOptions same = model;
  if (options.schedule == "cosine") same.schedule = "cosine";
  same.lr = lr;
  return LearningRate(same, step, run);
}

void ClampLogitScale(at::Tensor logit_scale) {
  const c10::NoGradGuard no_grad;
  logit_scale.clamp_(0, std::log(100.0));
}

}  // namespace fastclip
