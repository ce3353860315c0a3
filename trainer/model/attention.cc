#include "trainer/model/attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

#include "trainer/model/autocast.h"
#include "trainer/model/recompute.h"

namespace fastclip {
namespace {

// x · sigmoid(1.702 x), of which SiLU keeps one tensor for the backward pass instead of two.
at::Tensor QuickGelu(const at::Tensor& x) { return at::silu(x * 1.702).mul_(1 / 1.702); }

/// Attention of one query per sequence: q [b, heads, qk], keys [b, n, heads · qk], values
/// [b, n, heads · v], `hidden` [b, 1, n] or undefined. Returns [b, heads · v].
///
/// For a GPU: cuDNN's attention fails for some single queries (pytorch/pytorch#138529). Two batched
/// products: each head's query stands in a row of zeros as wide as all heads, so keys and values
/// are read as they lie.
at::Tensor AttendOnce(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                      const at::Tensor& hidden) {
  const std::int64_t batch = q.size(0), heads = q.size(1), qk = q.size(2);
  const at::Tensor apart = at::eye(heads, q.options().requires_grad(false)).unsqueeze(2);
  const at::Tensor scaled = q * (1 / std::sqrt(static_cast<double>(qk)));
  const at::Tensor rows = (scaled.unsqueeze(2) * apart).view({batch, heads, heads * qk});
  at::Tensor scores = at::bmm(rows, keys.transpose(1, 2));  // [b, heads, n]
  if (hidden.defined()) {
    scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  return at::bmm(at::softmax(scores, 2), values)
      .view({batch, heads, heads, -1})
      .diagonal(0, 1, 2)  // [b, v, heads]
      .transpose(1, 2)
      .reshape({batch, -1});
}

/// x in consecutive parts of `rows` rows: x itself, or views whose backward pass is one copy.
std::vector<at::Tensor> PartsOf(const at::Tensor& x, const std::vector<std::int64_t>& rows) {
  if (rows.size() == 1) return {x};
  return x.split_with_sizes(rows);
}

at::Tensor Joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

std::vector<std::int64_t> PlacesOf(const SequenceGroups& groups) {
  std::vector<std::int64_t> places;
  for (const SequenceGroup& group : groups) places.push_back(group.places());
  return places;
}

/// The residual stream x after a branch, in x's type.
at::Tensor Added(const at::Tensor& branch, const at::Tensor& x) {
  return branch.scalar_type() == x.scalar_type() ? branch.add_(x) : x + branch;
}

/// [sequences] the first place of each, as `like`.
at::Tensor FirstPlaces(const SequenceGroups& groups, const at::Tensor& like) {
  std::vector<at::Tensor> parts;
  std::int64_t first = 0;
  for (const SequenceGroup& group : groups) {
    const std::int64_t end = first + group.places();
    parts.push_back(at::arange(first, end, group.length, like.options()));
    first = end;
  }
  return Joined(parts);
}

}  // namespace

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

Transformer::Transformer(FreshWeights& weights, const std::string& name,
                         const TransformerOptions& options)
    : options_(options) {
  for (std::size_t i = 0; i < options.blocks.size(); ++i) {
    weights.At(options.tower, BlockPart(static_cast<std::int64_t>(i)));
    blocks_.push_back(
        MakeBlock(weights, fmt::format("{}.resblocks.{}.", name, i), options.blocks[i]));
  }
}

Transformer::Block Transformer::MakeBlock(FreshWeights& weights, const std::string& name,
                                          const BlockShape& shape) const {
  const std::int64_t width = options_.width;
  const std::int64_t values = shape.heads * shape.v_dim;
  const std::int64_t packed = 2 * shape.heads * shape.qk_dim + values;
  const bool scaled = options_.start == BlockStart::kDepthScaledNormal;
  const double w = static_cast<double>(width), m = static_cast<double>(shape.ffn);
  const auto matrix = [&](const std::string& tensor, std::int64_t out, std::int64_t in,
                          double deviation, double bound) {
    return scaled ? weights.Normal(tensor, {out, in}, deviation)
                  : weights.Uniform(tensor, {out, in}, bound);
  };
  const double projection = 1 / std::sqrt(w * 2 * static_cast<double>(options_.blocks.size()));
  const std::string attn = name + "attn.", mlp = name + "mlp.";
  // Braces: evaluated in the order of a state_dict. Bounds: Xavier's for the packed [3w, w] matrix,
  // 1/√(inputs) elsewhere.
  return Block{
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

std::vector<at::Tensor> Transformer::Block::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& of : {ln_1.parameters(), in_proj.parameters(), out_proj.parameters(),
                         ln_2.parameters(), c_fc.parameters(), c_proj.parameters()}) {
    all.insert(all.end(), of.begin(), of.end());
  }
  return all;
}

at::Tensor Transformer::Attend(const Block& block, const at::Tensor& x,
                               const SequenceGroups& groups) const {
  const std::vector<at::Tensor> packed = PartsOf(block.in_proj(block.ln_1(x)), PlacesOf(groups));
  std::vector<at::Tensor> mixed;  // [places, heads · v] each
  for (std::size_t i = 0; i < groups.size(); ++i) {
    mixed.push_back(MixAll(block.shape, packed[i], groups[i]));
  }
  return Added(block.out_proj(Joined(mixed)), x);
}

at::Tensor Transformer::MixAll(const BlockShape& shape, const at::Tensor& packed,
                               const SequenceGroup& group) const {
  const auto [heads, qk, v, ffn] = shape;
  const auto [batch, n] = group;
  std::vector<at::Tensor> qkv;
  if (qk == v) {
    // One view for the three: its backward is one copy into [b, 3, heads, n, head width].
    qkv = packed.view({batch, n, 3, heads, v}).permute({2, 0, 3, 1, 4}).unbind(0);
  } else {
    for (const at::Tensor& part : packed.split_with_sizes({heads * qk, heads * qk, heads * v}, 1)) {
      qkv.push_back(part.view({batch, n, heads, -1}).transpose(1, 2));
    }
  }
  const at::Tensor mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, 0,
                                                            options_.causal);  // [b, heads, n, ·]
  return mixed.transpose(1, 2).reshape({packed.size(0), heads * v});
}

at::Tensor Transformer::AttendFrom(const Block& block, const at::Tensor& x,
                                   const SequenceGroups& groups, const at::Tensor& rows,
                                   const at::Tensor& pool) const {
  const auto [heads, qk, v, ffn] = block.shape;
  const at::Tensor normal = block.ln_1(x);
  const std::vector<Linear> in = block.in_proj.Split({heads * qk, heads * (qk + v)});
  std::vector<std::int64_t> sequences;
  for (const SequenceGroup& group : groups) sequences.push_back(group.sequences);
  const std::vector<at::Tensor> q = PartsOf(in[0](normal.index_select(0, rows)), sequences),
                                packed = PartsOf(in[1](normal), PlacesOf(groups)),
                                read = PartsOf(pool, sequences);
  std::vector<at::Tensor> mixed;  // [sequences, heads · v] each
  for (std::size_t i = 0; i < groups.size(); ++i) {
    mixed.push_back(MixFrom(block.shape, q[i], packed[i], read[i]));
  }
  return Added(block.out_proj(Joined(mixed)), x.index_select(0, rows));
}

/// q [batch, heads · qk] against keys and values [batch · n, heads · (qk + v)].
at::Tensor Transformer::MixFrom(const BlockShape& shape, const at::Tensor& q,
                                const at::Tensor& packed, const at::Tensor& pool) const {
  const auto [heads, qk, v, ffn] = shape;
  const std::int64_t batch = q.size(0), n = packed.size(0) / batch;
  at::Tensor seen;  // [batch, n]: keys up to the position that is read
  if (options_.causal) {
    seen = at::arange(n, pool.options()).unsqueeze(0).le(pool.unsqueeze(1));
  }
  if (!packed.is_cpu()) {
    const std::vector<at::Tensor> kv =
        packed.view({batch, n, heads * (qk + v)}).split_with_sizes({heads * qk, heads * v}, 2);
    return AttendOnce(q.view({batch, heads, qk}), kv[0], kv[1],
                      seen.defined() ? seen.logical_not().unsqueeze(1) : seen);
  }
  std::vector<at::Tensor> kv;
  if (qk == v) {
    kv = packed.view({batch, n, 2, heads, v}).permute({2, 0, 3, 1, 4}).unbind(0);
  } else {
    for (const at::Tensor& part : packed.split_with_sizes({heads * qk, heads * v}, 1)) {
      kv.push_back(part.view({batch, n, heads, -1}).transpose(1, 2));
    }
  }
  std::optional<at::Tensor> mask;
  if (seen.defined()) mask = seen.view({batch, 1, 1, n});
  return at::scaled_dot_product_attention(q.view({batch, 1, heads, qk}).transpose(1, 2), kv[0],
                                          kv[1], mask)
      .transpose(1, 2)
      .reshape({batch, heads * v});
}

at::Tensor Transformer::AddMlp(const Block& block, const at::Tensor& x) const {
  const at::Tensor inner = block.c_fc(block.ln_2(x));
  const at::Tensor active = options_.quick_gelu ? QuickGelu(inner) : at::gelu(inner);
  return Added(block.c_proj(active), x);
}

at::Tensor Transformer::Run(const Block& block, const at::Tensor& x,
                            std::function<at::Tensor(const at::Tensor&)> part) const {
  if (!grad_checkpointing_) return part(x);
  return Recomputed(std::move(part), x, block.parameters());
}

at::Tensor Transformer::RunWhole(const Block& block, const at::Tensor& x,
                                 const SequenceGroups& groups) const {
  return Run(block, x, [this, &block, groups](const at::Tensor& in) {
    return AddMlp(block, Attend(block, in, groups));
  });
}

at::Tensor Transformer::Forward(at::Tensor x, const SequenceGroups& groups,
                                const at::Tensor& pool) const {
  for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) x = RunWhole(blocks_[i], x, groups);
  const Block& last = blocks_.back();
  const at::Tensor rows = FirstPlaces(groups, pool).add_(pool);
  return Run(last, x, [this, &last, groups, rows, pool](const at::Tensor& in) {
    return AddMlp(last, AttendFrom(last, in, groups, rows, pool));
  });
}

at::Tensor Transformer::ForwardAll(at::Tensor x, const SequenceGroups& groups) const {
  for (const Block& block : blocks_) x = RunWhole(block, x, groups);
  return x;
}

}  // namespace fastclip
