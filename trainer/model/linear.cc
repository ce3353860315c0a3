#include "trainer/model/linear.h"

#include <ATen/ATen.h>

namespace fastclip {

at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }

std::vector<Linear> Linear::Split(at::IntArrayRef out) const {
  const std::vector<at::Tensor> weights = weight.split_with_sizes(out);
  const std::vector<at::Tensor> biases = bias.split_with_sizes(out);
  std::vector<Linear> parts;
  for (std::size_t i = 0; i < out.size(); ++i) parts.push_back({name, weights[i], biases[i]});
  return parts;
}

}  // namespace fastclip
