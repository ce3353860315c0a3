#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"
#include "trainer/optim/update_rules.h"

namespace fastclip {

/// Any optimizer: parameters by group, state tensors "KIND.NAME" with their parameter's shape and
/// dtype, initially zero, and one "step" (0-d). Its rule updates a group.
class GroupedOptimizer final : public Optimizer {
 public:
  /// `weight_decay` applies to ParameterGroup::kDecay.
  GroupedOptimizer(const std::vector<Parameter>& parameters, double weight_decay,
                   const UpdateRule& rule);

  void Step(const LearningRates& rates, const Refusal& refusal) override;
  NamedTensors state() const override;
  void LoadState(const NamedTensors& state, const std::string& where) override;

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    std::size_t group;              // a ParameterGroup
    std::vector<at::Tensor> state;  // in the order of its group's kinds
  };

  double weight_decay_;
  std::array<UpdateRule::Kinds, 3> kinds_;  // by ParameterGroup
  std::function<void(const UpdateGroup&)> update_;
  std::vector<Slot> slots_;  // in the parameters' order
  at::Tensor step_;          // float32, as the fused kernels need it
};

}  // namespace fastclip
