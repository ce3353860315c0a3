#include "trainer/model/linear.h"

#include <ATen/ATen.h>

#include "trainer/model/tuner.h"

namespace fastclip {

at::Tensor Linear::Plain(const at::Tensor& x) const { return at::linear(x, weight, bias); }

at::Tensor Linear::operator()(const at::Tensor& x) const {
  const LinearTuner* map = nullptr;
  for (const auto& tuner : tuners) {
    if (tuner->replaces_map()) map = tuner.get();
  }
  at::Tensor y = map ? map->Map(*this, x) : Plain(x);
  for (const auto& tuner : tuners) y = tuner->Add(x, y);
  return y;
}

std::vector<Linear> Linear::Split(at::IntArrayRef out) const {
  const std::vector<at::Tensor> weights = weight.split_with_sizes(out);
  const std::vector<at::Tensor> biases = bias.split_with_sizes(out);
  std::vector<Linear> parts;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    parts.push_back({name, weights[i], biases[i]});
    for (const auto& tuner : tuners) {
      if (auto rows = tuner->Rows(first, out[i])) parts.back().tuners.push_back(std::move(rows));
    }
    first += out[i];
  }
  return parts;
}

std::vector<at::Tensor> Linear::parameters() const {
  std::vector<at::Tensor> all = {weight, bias};
  for (const auto& tuner : tuners) {
    for (const at::Tensor& tensor : tuner->parameters()) all.push_back(tensor);
  }
  return all;
}

}  // namespace fastclip
