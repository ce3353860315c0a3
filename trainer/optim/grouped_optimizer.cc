#include "trainer/optim/grouped_optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <stdexcept>
#include <unordered_map>

namespace fastclip {
namespace {

// The fused kernels read the raw memory of both, so their layouts must match.
at::Tensor GradientInLayoutOf(const at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter).copy_(gradient);
}

// "a, b, c and 5 more"
std::string Some(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

}  // namespace

GroupedOptimizer::GroupedOptimizer(const std::vector<Parameter>& parameters, double weight_decay,
                                   const UpdateRule& rule)
    : weight_decay_(weight_decay),
      kinds_{rule.kinds, rule.kinds, rule.temperature_kinds},
      update_(rule.update) {
  const c10::NoGradGuard no_grad;
  for (const Parameter& parameter : parameters) {
    if (!parameter.tensor.requires_grad()) continue;
    const auto group = static_cast<std::size_t>(GroupOf(parameter));
    Slot slot{parameter.name, parameter.tensor, group, {}};
    for (std::size_t kind = 0; kind < kinds_[group].size(); ++kind) {
      slot.state.push_back(at::zeros_like(parameter.tensor));
    }
    slots_.push_back(std::move(slot));
  }
  const c10::Device device =
      parameters.empty() ? c10::Device(c10::kCPU) : parameters.front().tensor.device();
  step_ = at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device));
}

void GroupedOptimizer::Step(const LearningRates& rates, const Refusal& refusal) {
  const c10::NoGradGuard no_grad;
  if (refusal.known()) return;
  step_.add_(1);
  if (refusal.on_device().defined()) step_.sub_(refusal.on_device());
  for (std::size_t number = 0; number < kinds_.size(); ++number) {
    const auto which = static_cast<ParameterGroup>(number);
    const bool is_scale = which == ParameterGroup::kLogitScale;
    UpdateGroup group{.parameters = {},
                      .gradients = {},
                      .state = std::vector<std::vector<at::Tensor>>(kinds_[number].size()),
                      .lr = is_scale ? rates.tau : rates.model,
                      .lr_on_device = is_scale ? rates.tau_on_device : rates.model_on_device,
                      .weight_decay = which == ParameterGroup::kDecay ? weight_decay_ : 0.0,
                      .step = step_,
                      .refusal = refusal};
    for (const Slot& slot : slots_) {
      if (slot.group != number || !slot.parameter.grad().defined()) continue;
      group.parameters.push_back(slot.parameter);
      group.gradients.push_back(GradientInLayoutOf(slot.parameter));
      for (std::size_t kind = 0; kind < slot.state.size(); ++kind) {
        group.state[kind].push_back(slot.state[kind]);
      }
    }
    if (!group.parameters.empty()) update_(group);
  }
}

NamedTensors GroupedOptimizer::state() const {
  NamedTensors state = {{"step", step_}};
  for (const Slot& slot : slots_) {
    for (std::size_t kind = 0; kind < slot.state.size(); ++kind) {
      state.emplace_back(kinds_[slot.group][kind] + "." + slot.name, slot.state[kind]);
    }
  }
  return state;
}

void GroupedOptimizer::LoadState(const NamedTensors& state, const std::string& where) {
  const c10::NoGradGuard no_grad;
  std::unordered_map<std::string, at::Tensor> given(state.begin(), state.end());
  std::vector<std::string> missing;
  std::vector<std::string> misshaped;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& [name, mine] : this->state()) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.push_back(name);
      continue;
    }
    if (found->second.sizes() != mine.sizes()) misshaped.push_back(name);
    copies.emplace_back(mine, found->second);
    given.erase(found);
  }
  std::vector<std::string> unknown;
  for (const auto& [name, tensor] : state) {
    if (given.contains(name)) unknown.push_back(name);
  }
  std::string wrong;
  if (!missing.empty()) wrong += fmt::format("; missing: {}", Some(missing));
  if (!unknown.empty()) wrong += fmt::format("; unknown: {}", Some(unknown));
  if (!misshaped.empty()) wrong += fmt::format("; with another shape: {}", Some(misshaped));
  if (!wrong.empty()) {
    throw std::runtime_error(fmt::format(
        "{}: the optimizer state does not fit this model and optimizer{}", where, wrong));
  }
  for (auto& [mine, theirs] : copies) mine.copy_(theirs);
}

}  // namespace fastclip
