#pragma once

#include <array>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace fastclip {

/// Base of all optimizers: parameters by group, state tensors "KIND.NAME" with their parameter's
/// shape and dtype, initially zero, and one "step" (0-d). Subclasses name their kinds of state and
/// update a group.
class GroupedOptimizer : public Optimizer {
 public:
  void Step(const LearningRates& rates, const Refusal& refusal) final;
  NamedTensors state() const final;
  void LoadState(const NamedTensors& state, const std::string& where) final;

 protected:
  using Kinds = std::vector<std::string>;

  /// The parameters of a group that have a gradient; equal indices of the lists belong together.
  struct Group {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;           // in the parameters' layouts; read-only
    std::vector<std::vector<at::Tensor>> state;  // one list per kind, in the order of kinds
    double lr = 0;
    at::Tensor lr_on_device;  // if defined, in place of `lr`
    double weight_decay = 0;
  };

  /// `kinds`: state of each parameter; `temperature_kinds`: state of logit_scale.
  GroupedOptimizer(const std::vector<Parameter>& parameters, double weight_decay,
                   const Kinds& kinds, const Kinds& temperature_kinds);

  /// Called by Step() for each group with parameters to update, without autograd. On a GPU it must
  /// change nothing if refusal.on_device() is 1.
  virtual void Update(const Group& group, const Refusal& refusal) = 0;

  /// The gradients; `these` if refused, with which lerp leaves an average as it is.
  static std::vector<at::Tensor> GradientsOr(const std::vector<at::Tensor>& these,
                                             const Group& group, const Refusal& refusal);
  /// Times `factor`; unchanged if refused.
  static void Multiply(const std::vector<at::Tensor>& list, double factor, const Refusal& refusal);
  /// `list`, times the group's learning rate and −1, added to the parameters; nothing if refused.
  static void AddStep(const Group& group, std::vector<at::Tensor>& list, const Refusal& refusal);

  /// Number of steps, including the current one unless it is refused: 0-d float32 on the
  /// parameters' device.
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
  at::Tensor step_;             // float32, as the fused kernels need it
};

}  // namespace fastclip
