#include "trainer/model/batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <stdexcept>

namespace fastclip {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;

}  // namespace

BatchNorm::BatchNorm(FreshWeights& weights, const std::string& name, std::int64_t channels,
                     double gain)
    : weight(weights.Constant(name + ".weight", {channels}, gain)),
      bias(weights.Constant(name + ".bias", {channels}, 0)),
      running_mean(weights.Buffer(name + ".running_mean", {channels}, 0)),
      running_var(weights.Buffer(name + ".running_var", {channels}, 1)),
      num_batches_tracked(weights.Counter(name + ".num_batches_tracked")) {}

at::Tensor BatchNorm::operator()(const at::Tensor& x, TowerMode mode) const {
  const bool training = mode != TowerMode::kEvaluate;
  if (training && x.size(0) * x.size(2) * x.size(3) < 2) {
    throw std::invalid_argument(
        fmt::format("batch normalisation of {} row of {}x{} places: a variance needs two values a "
                    "channel; take more rows a micro-batch, or larger pictures",
                    x.size(0), x.size(2), x.size(3)));
  }
  const bool follow = mode == TowerMode::kTrain;
  if (follow) {
    const at::NoGradGuard no_grad;
    num_batches_tracked.add_(1);
  }
  const bool statistics = follow || !training;
  return at::batch_norm(x, weight, bias, statistics ? running_mean : at::Tensor(),
                        statistics ? running_var : at::Tensor(), training, kMomentum, kEpsilon,
                        /*cudnn_enabled=*/true);
}

}  // namespace fastclip
