#include "trainer/model/attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "trainer/model/recompute.h"

namespace fastclip {
namespace {

// x · sigmoid(1.702 x), of which SiLU keeps one tensor for the backward pass instead of two.
at::Tensor QuickGelu(const at::Tensor& x) { return at::silu(x * 1.702).mul_(1 / 1.702); }

}  // namespace

LayerNorm::LayerNorm(FreshWeights& weights, const std::string& name, std::int64_t width)
    : weight(weights.Constant(name + ".weight", {width}, 1)),
      bias(weights.Constant(name + ".bias", {width}, 0)) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, 1e-5);
}

Transformer::Transformer(FreshWeights& weights, const std::string& name,
                         const TransformerOptions& options)
    : options_(options) {
  for (std::int64_t i = 0; i < options.layers; ++i) {
    blocks_.push_back(MakeBlock(weights, fmt::format("{}.resblocks.{}.", name, i)));
  }
}

Transformer::Block Transformer::MakeBlock(FreshWeights& weights, const std::string& name) const {
  const auto& [width, layers, heads, mlp_width, quick_gelu, causal, start] = options_;
  const bool scaled = start == BlockStart::kDepthScaledNormal;
  const double w = static_cast<double>(width), m = static_cast<double>(mlp_width);
  const auto matrix = [&](const char* tensor, std::int64_t out, std::int64_t in, double deviation,
                          double bound) {
    return scaled ? weights.Normal(name + tensor, {out, in}, deviation)
                  : weights.Uniform(name + tensor, {out, in}, bound);
  };
  const double projection = 1 / std::sqrt(w * 2 * static_cast<double>(layers));
  // Braces: evaluated in the order of a state_dict. Bounds: Xavier's for the packed [3w, w] matrix,
  // 1/√(inputs) elsewhere.
  return Block{
      LayerNorm(weights, name + "ln_1", width),
      matrix("attn.in_proj_weight", 3 * width, width, 1 / std::sqrt(w), std::sqrt(6 / (4 * w))),
      weights.Constant(name + "attn.in_proj_bias", {3 * width}, 0),
      matrix("attn.out_proj.weight", width, width, projection, 1 / std::sqrt(w)),
      weights.Constant(name + "attn.out_proj.bias", {width}, 0),
      LayerNorm(weights, name + "ln_2", width),
      matrix("mlp.c_fc.weight", mlp_width, width, 1 / std::sqrt(2 * w), 1 / std::sqrt(w)),
      weights.Uniform(name + "mlp.c_fc.bias", {mlp_width}, 1 / std::sqrt(w)),
      matrix("mlp.c_proj.weight", width, mlp_width, projection, 1 / std::sqrt(m)),
      weights.Uniform(name + "mlp.c_proj.bias", {width}, 1 / std::sqrt(m))};
}

std::vector<at::Tensor> Transformer::Block::parameters() const {
  return {ln_1.weight, ln_1.bias, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias,
          ln_2.weight, ln_2.bias, c_fc_weight,    c_fc_bias,    c_proj_weight,   c_proj_bias};
}

at::Tensor Transformer::Attend(const Block& block, const at::Tensor& x, std::int64_t batch) const {
  const std::int64_t heads = options_.heads;
  const std::int64_t n = x.size(0) / batch;
  const at::Tensor packed = at::linear(block.ln_1(x), block.in_proj_weight, block.in_proj_bias);
  // One view for the three: its backward is one copy into [b, 3, heads, n, head width].
  const std::vector<at::Tensor> qkv =
      packed.view({batch, n, 3, heads, options_.width / heads}).permute({2, 0, 3, 1, 4}).unbind(0);
  const at::Tensor mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, 0,
                                                            options_.causal);  // [b, heads, n, ·]
  const at::Tensor rows = mixed.transpose(1, 2).reshape({x.size(0), options_.width});
  return at::linear(rows, block.out_proj_weight, block.out_proj_bias).add_(x);
}

at::Tensor Transformer::AttendFrom(const Block& block, const at::Tensor& x, const at::Tensor& rows,
                                   const at::Tensor& pool) const {
  const std::int64_t heads = options_.heads, width = options_.width;
  const std::int64_t batch = rows.size(0), n = x.size(0) / batch;
  const at::Tensor normal = block.ln_1(x);
  const std::vector<at::Tensor> w = block.in_proj_weight.split_with_sizes({width, 2 * width});
  const std::vector<at::Tensor> b = block.in_proj_bias.split_with_sizes({width, 2 * width});
  const at::Tensor q = at::linear(normal.index_select(0, rows), w[0], b[0])
                           .view({batch, 1, heads, width / heads})
                           .transpose(1, 2);  // [b, heads, 1, head width]
  const std::vector<at::Tensor> kv = at::linear(normal, w[1], b[1])
                                         .view({batch, n, 2, heads, width / heads})
                                         .permute({2, 0, 3, 1, 4})
                                         .unbind(0);
  std::optional<at::Tensor> seen;
  if (options_.causal) {
    const at::Tensor places = at::arange(n, pool.options());
    seen = places.unsqueeze(0).le(pool.unsqueeze(1)).view({batch, 1, 1, n});
  }
  const at::Tensor mixed = at::scaled_dot_product_attention(q, kv[0], kv[1], seen);
  return at::linear(mixed.transpose(1, 2).reshape({batch, width}), block.out_proj_weight,
                    block.out_proj_bias)
      .add_(x.index_select(0, rows));
}

at::Tensor Transformer::AddMlp(const Block& block, const at::Tensor& x) const {
  const at::Tensor inner = at::linear(block.ln_2(x), block.c_fc_weight, block.c_fc_bias);
  const at::Tensor active = options_.quick_gelu ? QuickGelu(inner) : at::gelu(inner);
  return at::linear(active, block.c_proj_weight, block.c_proj_bias).add_(x);
}

at::Tensor Transformer::Run(const Block& block, const at::Tensor& x,
                            std::function<at::Tensor(const at::Tensor&)> part) const {
  if (!grad_checkpointing_) return part(x);
  return Recomputed(std::move(part), x, block.parameters());
}

at::Tensor Transformer::Forward(at::Tensor x, std::int64_t batch, const at::Tensor& pool) const {
  const std::int64_t n = x.size(0) / batch;
  for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    x = Run(block, x, [this, &block, batch](const at::Tensor& in) {
      return AddMlp(block, Attend(block, in, batch));
    });
  }
  const Block& last = blocks_.back();
  const at::Tensor rows = at::arange(batch, pool.options()).mul_(n).add_(pool);
  return Run(last, x, [this, &last, rows, pool](const at::Tensor& in) {
    return AddMlp(last, AttendFrom(last, in, rows, pool));
  });
}

}  // namespace fastclip
