#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "trainer/optim/optimizer.h"

namespace fastclip {

at::Tensor ClipGradients(const NamedTensors& parameters, double max_norm, Communicator* comm) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return at::zeros({});
  at::Tensor norm = at::stack(at::_foreach_norm(gradients)).norm();
  if (std::isinf(max_norm)) return norm;
  if (comm != nullptr && comm->world_size() > 1) comm->Broadcast(norm, 0);
  // Stays a tensor: reading it here would make a GPU wait.
  at::_foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp_max_(1));
  return norm;
}

}  // namespace fastclip
