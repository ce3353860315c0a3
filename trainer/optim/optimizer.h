#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trainer/named_tensors.h"

namespace fastclip {

/// Which rule a parameter follows (fast_clip's grouping).
enum class ParameterGroup {
  kNoDecay,     ///< fewer than 2 dimensions, or a name with "bn", "ln" or "bias"
  kDecay,       ///< the rest
  kLogitScale,  ///< the temperature: no decay, its own learning rate
};
ParameterGroup GroupOf(const std::string& name, const at::Tensor& parameter);

struct OptimizerOptions {
  std::string name = "adamw";
  double beta1 = 0.9;
  double beta2 = 0.98;
  double eps = 1e-6;
  double weight_decay = 0.1;
};

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

/// Throws std::invalid_argument that lists the optimizers there are.
std::unique_ptr<Optimizer> MakeOptimizer(const NamedTensors& parameters,
                                         const OptimizerOptions& options);

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)); returns the global L2 norm before, 0-d.
/// An infinite max_norm measures only.
at::Tensor ClipGradients(const NamedTensors& parameters, double max_norm);

}  // namespace fastclip
