#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"

namespace fastclip {

/// Which rule a parameter follows: fast_clip's grouping, which goes by names ("bn", "ln", "bias").
enum class ParameterGroup {
  kNoDecay,     ///< norms, offsets, and what has fewer than 2 dimensions
  kDecay,       ///< the rest
  kLogitScale,  ///< the temperature: no decay, its own learning rate
};
ParameterGroup GroupOf(const Parameter& parameter);

struct OptimizerOptions {
  /// "adamw", "lamb" (AdamW with steps in proportion to each tensor's norm, for large batches),
  /// "lion" (steps of one size, by sign; half of AdamW's state) or "sgdm" (momentum alone).
  std::string name = "adamw";
  /// Share that the gradient's moving average keeps each step. lion: of the average that it steps
  /// along.
  double beta1 = 0.9;
  /// Share that the squared gradient's moving average keeps. lion: of the average that it stores.
  double beta2 = 0.98;
  /// Added to the root of the squared average: bounds the step where gradients are tiny. adamw,
  /// lamb.
  double eps = 1e-6;
  /// Pull of weight matrices towards 0. Times the learning rate for adamw and lion; inside the
  /// step that lamb scales; added to the gradient by sgdm.
  double weight_decay = 0.1;
  /// sgdm: share of the last step's direction that the next keeps; the temperature has none.
  double momentum = 0.9;
  /// sgdm: step along the direction after this gradient's momentum (Nesterov's form).
  bool nesterov = false;
};

/// adamw, lamb, lion, sgdm.
std::vector<std::string> OptimizerNames();

/// Throws std::invalid_argument with the reason, or with the optimizers there are.
void CheckOptimizer(const OptimizerOptions& options);

struct LearningRates {
  double model = 0;
  double tau = 0;
};

/// Updates parameters in place from their .grad. All state is named tensors: "exp_avg.NAME", ….
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One update; parameters without gradient are left alone.
  virtual void Step(const LearningRates& rates) = 0;
  /// Handles to the state (not copies), "step" among them.
  virtual NamedTensors state() const = 0;
  /// Copies by name; throws std::runtime_error that lists what is missing, unknown or misshaped.
  virtual void LoadState(const NamedTensors& state, const std::string& where) = 0;
};

/// Of the parameters that require a gradient. Throws as CheckOptimizer does.
std::unique_ptr<Optimizer> MakeOptimizer(const std::vector<Parameter>& parameters,
                                         const OptimizerOptions& options);

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)); returns the global L2 norm before,
/// 0-d. An infinite max_norm measures only. Ranks scale by the norm that rank 0 found: unlike
/// numbers of threads would round it differently.
at::Tensor ClipGradients(const NamedTensors& parameters, double max_norm,
                         Communicator* comm = nullptr);

}  // namespace fastclip
