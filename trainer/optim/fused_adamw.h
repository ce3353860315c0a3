#pragma once

#include <array>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace fastclip {

/// AdamW with decoupled weight decay over ATen's fused kernel: one call for each parameter group.
/// State: "step" (0-d, one for all), "exp_avg.NAME", "exp_avg_sq.NAME".
class FusedAdamW final : public Optimizer {
 public:
  FusedAdamW(const NamedTensors& parameters, const OptimizerOptions& options);

  void Step(const LearningRates& rates) override;
  NamedTensors state() const override;
  void LoadState(const NamedTensors& state, const std::string& where) override;

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
  };

  OptimizerOptions options_;
  std::vector<Slot> slots_;                          // in the parameters' order
  std::array<std::vector<std::size_t>, 3> members_;  // by ParameterGroup: places in slots_
  at::Tensor step_;                                  // float32, as the kernel wants it
};

}  // namespace fastclip
