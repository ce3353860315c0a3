#include "trainer/model/batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/model/sync_batch_norm.h"

namespace fastclip {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;

}  // namespace

BatchNorm::BatchNorm(FreshWeights& weights, const std::string& name, std::int64_t channels,
                     double gain)
    : weight(weights.Constant(name + ".weight", {channels}, gain, Role::kNorm)),
      bias(weights.Constant(name + ".bias", {channels}, 0, Role::kNorm)),
      running_mean(weights.Buffer(name + ".running_mean", {channels}, 0)),
      running_var(weights.Buffer(name + ".running_var", {channels}, 1)),
      num_batches_tracked(weights.Counter(name + ".num_batches_tracked")) {}

at::Tensor BatchNorm::operator()(const at::Tensor& x, const NormScope& scope) const {
  const bool training = scope.mode != TowerMode::kEvaluate;
  const bool follow = scope.mode == TowerMode::kTrain;
  const auto count_batch = [&] {
    const at::NoGradGuard no_grad;
    if (follow) num_batches_tracked.add_(1);
  };
  if (training && scope.comm != nullptr && scope.comm->world_size() > 1) {
    const SyncedNorm synced = SyncBatchNorm(x, weight, bias, kEpsilon, *scope.comm);
    count_batch();
    if (follow) {
      const at::NoGradGuard no_grad;
      running_mean.lerp_(synced.mean.to(running_mean.dtype()), kMomentum);
      running_var.lerp_(synced.variance.to(running_var.dtype()), kMomentum);
    }
    return synced.y;
  }
  if (training && x.size(0) * x.size(2) * x.size(3) < 2) {
    throw std::invalid_argument(fmt::format(
        "batch norm of {} of {}x{} positions: a variance needs at least 2 values per channel; "
        "use more rows per micro-batch, or larger images",
        Counted(x.size(0), "row"), x.size(2), x.size(3)));
  }
  count_batch();
  const bool statistics = follow || !training;
  return at::batch_norm(x, weight, bias, statistics ? running_mean : at::Tensor(),
                        statistics ? running_var : at::Tensor(), training, kMomentum, kEpsilon,
                        /*cudnn_enabled=*/true);
}

}  // namespace fastclip
