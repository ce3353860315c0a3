#include "trainer/optim/fused_adamw.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <stdexcept>
#include <unordered_map>

namespace fastclip {
namespace {

// The kernel walks the raw memory of both, so that their layouts must agree.
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

FusedAdamW::FusedAdamW(const NamedTensors& parameters, const OptimizerOptions& options)
    : options_(options) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, parameter] : parameters) {
    members_[static_cast<std::size_t>(GroupOf(name, parameter))].push_back(slots_.size());
    slots_.push_back({name, parameter, at::zeros_like(parameter), at::zeros_like(parameter)});
  }
  const c10::Device device =
      parameters.empty() ? c10::Device(c10::kCPU) : parameters.front().second.device();
  step_ = at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device));
}

void FusedAdamW::Step(const LearningRates& rates) {
  const c10::NoGradGuard no_grad;
  step_.add_(1);
  for (std::size_t group = 0; group < members_.size(); ++group) {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;
    std::vector<at::Tensor> averages;
    std::vector<at::Tensor> squares;
    for (const std::size_t place : members_[group]) {
      const Slot& slot = slots_[place];
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      gradients.push_back(GradientInLayoutOf(slot.parameter));
      averages.push_back(slot.exp_avg);
      squares.push_back(slot.exp_avg_sq);
    }
    if (parameters.empty()) continue;
    const auto kind = static_cast<ParameterGroup>(group);
    const std::vector<at::Tensor> steps(parameters.size(), step_);
    at::_fused_adamw_(parameters, gradients, averages, squares, {}, steps,
                      kind == ParameterGroup::kLogitScale ? rates.tau : rates.model, options_.beta1,
                      options_.beta2, kind == ParameterGroup::kDecay ? options_.weight_decay : 0.0,
                      options_.eps,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
}

NamedTensors FusedAdamW::state() const {
  NamedTensors state = {{"step", step_}};
  for (const Slot& slot : slots_) {
    state.emplace_back("exp_avg." + slot.name, slot.exp_avg);
    state.emplace_back("exp_avg_sq." + slot.name, slot.exp_avg_sq);
  }
  return state;
}

void FusedAdamW::LoadState(const NamedTensors& state, const std::string& where) {
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
  if (!misshaped.empty()) wrong += fmt::format("; of another shape: {}", Some(misshaped));
  if (!wrong.empty()) {
    throw std::runtime_error(fmt::format(
        "{}: the optimizer's state does not fit this model and optimizer{}", where, wrong));
  }
  for (auto& [mine, theirs] : copies) mine.copy_(theirs);
}

}  // namespace fastclip
