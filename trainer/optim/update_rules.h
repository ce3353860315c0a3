#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"
#include "trainer/optim/refusal.h"

namespace fastclip {

/// The parameters of a group that have a gradient; equal indices of the lists belong together.
struct UpdateGroup {
  std::vector<at::Tensor> parameters;
  std::vector<at::Tensor> gradients;  // in the parameters' layouts; read-only
  std::vector<std::vector<at::Tensor>>
      state;  // one list per kind, in the order of the rule's kinds
  double lr = 0;
  at::Tensor lr_on_device{};  // 0-d; if defined, in place of `lr`
  double weight_decay = 0;
  /// Number of steps, including the current one unless it is refused: 0-d float32 on the
  /// parameters' device.
  at::Tensor step;
  /// Calls update(lr) of a fused kernel with the rate: a number, or a tensor, which must be
  /// float32.
  template <class Update>
  void WithRate(const Update& update) const {
    lr_on_device.defined() ? update(lr_on_device.to(at::kFloat)) : update(lr);
  }
  /// A GPU's update must change nothing if on_device() is 1.
  Refusal refusal{};

  /// The gradients; `these` if refused, with which lerp leaves an average as it is.
  std::vector<at::Tensor> GradientsOr(const std::vector<at::Tensor>& these) const;
  /// Times `factor`; unchanged if refused.
  void Multiply(const std::vector<at::Tensor>& list, double factor) const;
  /// The parameters times 1 − lr·weight_decay; unchanged if refused.
  void Decay() const;
  /// Subtracts `list`, times the learning rate, from the parameters; nothing if refused.
  void Subtract(std::vector<at::Tensor>& list) const;
};

/// How an optimizer updates parameters. GroupedOptimizer does the rest.
struct UpdateRule {
  using Kinds = std::vector<std::string>;

  Kinds kinds;              ///< state of each parameter: tensors of its shape that start at zero
  Kinds temperature_kinds;  ///< state of logit_scale
  /// Called once per step and group, without autograd.
  std::function<void(const UpdateGroup&)> update;
};

/// AdamW with decoupled weight decay (Loshchilov, Hutter 2019) with ATen's fused kernel, one call
/// per parameter group. State: "step", "exp_avg.NAME", "exp_avg_sq.NAME".
UpdateRule FusedAdamWRule(const OptimizerOptions& options);

/// SGD with momentum with ATen's fused kernel; weight decay is an L2 term of the gradient. The
/// temperature has no momentum, as in the authors' later code (DRRho-CLIP). State: "step", and
/// "momentum_buffer.NAME" for parameters with momentum.
UpdateRule FusedSgdRule(const OptimizerOptions& options);

/// LAMB (You et al. 2020) as in fast_clip: AdamW's step, scaled by ‖p‖/‖r‖ for tensors with weight
/// decay, without clamps. Norms are over whole tensors; a sharded parameter would need them summed.
/// State: "step", "exp_avg.NAME", "exp_avg_sq.NAME". A step needs memory for one extra copy of a
/// group's parameters.
UpdateRule LambRule(const OptimizerOptions& options);

/// Lion (Chen et al. 2023) with decoupled weight decay: every element moves by the learning rate in
/// the sign of a moving average. Needs a learning rate 3 to 10 times smaller than AdamW's, and a
/// weight decay larger by the same factor. State: "step", "exp_avg.NAME". A step needs memory for
/// one extra copy of a group's parameters.
UpdateRule LionRule(const OptimizerOptions& options);

}  // namespace fastclip
