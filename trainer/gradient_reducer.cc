#include "trainer/gradient_reducer.h"

#include <ATen/ATen.h>

namespace fastclip {

GradientReducer::GradientReducer(const NamedTensors& parameters, Communicator& comm)
    : parameters_(parameters), comm_(comm) {}

void GradientReducer::Begin() {
  for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
  scalars_.clear();
  sums_.clear();
}

std::size_t GradientReducer::Add(const at::Tensor& scalar) {
  scalars_.push_back(scalar.detach().to(at::kCPU, at::kDouble));
  return scalars_.size() - 1;
}

void GradientReducer::Finish() {
  if (comm_.world_size() > 1) {
    for (const auto& [name, parameter] : parameters_) {
      at::Tensor& gradient = parameter.mutable_grad();
      if (!gradient.defined()) gradient = at::zeros_like(parameter);
      comm_.AllReduceSum(gradient);
    }
  }
  at::Tensor packed = at::stack(scalars_);
  comm_.AllReduceSum(packed);
  const double* values = packed.const_data_ptr<double>();
  sums_.assign(values, values + packed.numel());
}

}  // namespace fastclip
