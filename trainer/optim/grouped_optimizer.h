#pragma once

#include <array>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace fastclip {

/// What every optimizer shares: parameters in their groups, state tensors "KIND.NAME" in their
/// parameter's shape and dtype, zero at the start, and "step" (0-d, one for all). A form names its
/// kinds of state and updates a group.
class GroupedOptimizer : public Optimizer {
 public:
  void Step(const LearningRates& rates) final;
  NamedTensors state() const final;
  void LoadState(const NamedTensors& state, const std::string& where) final;

 protected:
  using Kinds = std::vector<std::string>;

  /// The parameters of a group that have a gradient; equal places of the lists belong together.
  struct Group {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;           // in the parameters' layouts; not to be written
    std::vector<std::vector<at::Tensor>> state;  // a list for each kind, in the kinds' order
    double lr = 0;
    double weight_decay = 0;
  };

  /// `kinds` of state has each parameter, `temperature_kinds` the logit_scale.
  GroupedOptimizer(const std::vector<Parameter>& parameters, double weight_decay,
                   const Kinds& kinds, const Kinds& temperature_kinds);

  /// Called in Step() for each group that has something to update, without autograd.
  virtual void Update(const Group& group) = 0;

  /// Steps begun, this one among them: 0-d float32 on the parameters' device.
  const at::Tensor& step() const { return step_; }

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    std::size_t group;              // a ParameterGroup
    std::vector<at::Tensor> state;  // in the order of its group's kinds
  };

  double weight_decay_;
  std::array<Kinds, 3> kinds_;  // by ParameterGroup
  std::vector<Slot> slots_;     // in the parameters' order
  at::Tensor step_;             // float32, as the fused kernels want it
};

}  // namespace fastclip
