#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"
#include "trainer/optim/refusal.h"

namespace fastclip {

/// Parameter group, the same grouping as fast_clip, which uses names ("bn", "ln", "bias").
enum class ParameterGroup {
  kNoDecay,     ///< norms, biases, and tensors with fewer than 2 dimensions
  kDecay,       ///< the rest
  kLogitScale,  ///< the temperature: no decay, its own learning rate
};
ParameterGroup GroupOf(const Parameter& parameter);

struct OptimizerOptions {
  /// "adamw", "lamb" (AdamW with steps scaled to each tensor's norm, for large batches), "lion"
  /// (sign of the momentum; half of AdamW's state) or "sgdm" (SGD with momentum).
  std::string name = "adamw";
  /// Decay rate of the gradient's moving average. lion: for the direction of the step.
  double beta1 = 0.9;
  /// Decay rate of the squared gradient's moving average. lion: for the stored average.
  double beta2 = 0.98;
  /// adamw, lamb: added to the root of the squared average; bounds the step for tiny gradients.
  double eps = 1e-6;
  /// Weight decay of weight matrices. adamw, lion: decoupled (times the learning rate); lamb:
  /// before the trust ratio; sgdm: L2, added to the gradient.
  double weight_decay = 0.1;
  /// sgdm: momentum factor; the temperature has none.
  double momentum = 0.9;
  /// sgdm: use Nesterov momentum.
  bool nesterov = false;
};

/// adamw, lamb, lion, sgdm.
std::vector<std::string> OptimizerNames();

/// Throws std::invalid_argument with the reason, or the list of optimizers.
void CheckOptimizer(const OptimizerOptions& options);

struct LearningRates {
  double model = 0;
  double tau = 0;
  /// If defined, in place of `model`, and in place of `tau` for logit_scale: 0-d on the parameters'
  /// device. Where a rate depends on values that the host has not read, or is of recorded work.
  at::Tensor model_on_device{}, tau_on_device{};
};

/// Updates parameters in place from their .grad. All state is in named tensors: "exp_avg.NAME", ….
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One update; parameters without a gradient are not changed, and none if the step is refused.
  virtual void Step(const LearningRates& rates, const Refusal& refusal = {}) = 0;
  /// Handles to the state (not copies), including "step".
  virtual NamedTensors state() const = 0;
  /// Copies by name. Throws std::runtime_error with missing, unknown or misshaped tensors.
  virtual void LoadState(const NamedTensors& state, const std::string& where) = 0;
};

/// An optimizer of the parameters that require a gradient. Throws like CheckOptimizer.
std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<Parameter>& parameters,
                                         const OptimizerOptions& options);

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)); returns the global L2 norm before
/// scaling, 0-d. An infinite max_norm only measures. All ranks use rank 0's norm, because different
/// numbers of threads would round it differently.
at::Tensor ClipGradients(const NamedTensors& parameters, double max_norm,
                         Communicator* comm = nullptr);

}  // namespace fastclip
