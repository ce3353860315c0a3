#include "trainer/model/block.h"

#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "trainer/model/autocast.h"

namespace fastclip {

LayerNorm::LayerNorm(FreshWeights& weights, const std::string& name, std::int64_t width)
    : weight(weights.Constant(name + ".weight", {width}, 1, Role::kNorm)),
      bias(weights.Constant(name + ".bias", {width}, 0, Role::kNorm)) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  const auto norm = [](const at::Tensor& in, const at::Tensor& gain, const at::Tensor& offset) {
    return at::layer_norm(in, gain.sizes(), gain, offset, 1e-5);
  };
  const at::DeviceType device = x.device().type();
  const std::optional<at::ScalarType> low = AutocastDtype(device);
  if (!low) return norm(x, weight, bias);
  const AutocastGuard off(device, std::nullopt);
  if (x.scalar_type() != *low) return norm(x, weight, bias).to(*low);
  // Kernels add up in float32 whatever the types are. The CPU's take float32 weights beside x; a
  // GPU's want one type. float16 is too narrow for the sums that are these weights' gradients.
  if (x.is_cpu()) return norm(x, weight, bias);
  if (*low == at::kHalf) return norm(x.to(weight.scalar_type()), weight, bias).to(*low);
  return norm(x, weight.to(*low), bias.to(*low));
}

at::Tensor LayerNorm::Whole(const at::Tensor& x) const {
  const AutocastGuard off(x.device().type(), std::nullopt);
  return (*this)(x);
}

TransformerBlock MakeBlock(FreshWeights& weights, const std::string& name, const BlockShape& shape,
                           std::int64_t width, std::int64_t layers, BlockStart start) {
  const std::int64_t values = shape.heads * shape.v_dim;
  const std::int64_t packed = 2 * shape.heads * shape.qk_dim + values;
  const bool scaled = start == BlockStart::kDepthScaledNormal;
  const double w = static_cast<double>(width), m = static_cast<double>(shape.ffn);
  const auto matrix = [&](const std::string& tensor, std::int64_t out, std::int64_t in,
                          double deviation, double bound) {
    return scaled ? weights.Normal(tensor, {out, in}, deviation)
                  : weights.Uniform(tensor, {out, in}, bound);
  };
  const double projection = 1 / std::sqrt(w * 2 * static_cast<double>(layers));
  const std::string attn = name + "attn.", mlp = name + "mlp.";
  // Braces: evaluated in the order of a state_dict. Bounds: Xavier's for the packed [3w, w] matrix,
  // 1/√(inputs) elsewhere.
  return TransformerBlock{
      shape,
      LayerNorm(weights, name + "ln_1", width),
      Linear{attn + "in_proj",
             matrix(attn + "in_proj_weight", packed, width, 1 / std::sqrt(w),
                    std::sqrt(6 / (w + static_cast<double>(packed)))),
             weights.Constant(attn + "in_proj_bias", {packed}, 0, Role::kOffset)},
      Linear{attn + "out_proj",
             matrix(attn + "out_proj.weight", width, values, projection,
                    1 / std::sqrt(static_cast<double>(values))),
             weights.Constant(attn + "out_proj.bias", {width}, 0, Role::kOffset)},
      LayerNorm(weights, name + "ln_2", width),
      Linear{mlp + "c_fc",
             matrix(mlp + "c_fc.weight", shape.ffn, width, 1 / std::sqrt(2 * w), 1 / std::sqrt(w)),
             weights.Uniform(mlp + "c_fc.bias", {shape.ffn}, 1 / std::sqrt(w), Role::kOffset)},
      Linear{mlp + "c_proj",
             matrix(mlp + "c_proj.weight", width, shape.ffn, projection, 1 / std::sqrt(m)),
             weights.Uniform(mlp + "c_proj.bias", {width}, 1 / std::sqrt(m), Role::kOffset)}};
}

std::vector<at::Tensor> TransformerBlock::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& of : {ln_1.parameters(), in_proj.parameters(), out_proj.parameters(),
                         ln_2.parameters(), c_fc.parameters(), c_proj.parameters()}) {
    all.insert(all.end(), of.begin(), of.end());
  }
  for (const at::Tensor& tensor : tuners.parameters()) all.push_back(tensor);
  return all;
}

}  // namespace fastclip
