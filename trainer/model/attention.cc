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

/// The residual stream with what a branch's tuners add.
at::Tensor Tuned(at::Tensor stream, const TransformerBlock& block,
                 const std::vector<std::shared_ptr<const BranchTuner>>& tuners,
                 const BranchInput& input) {
  for (const auto& tuner : tuners) stream.add_(tuner->Delta(block, input));
  return stream;
}

/// The block's own queries of `packed`, whose first columns they are.
at::Tensor OwnQueries(const TransformerBlock& block, const at::Tensor& packed) {
  if (!block.in_proj.tuners.empty()) return {};
  return packed.narrow(1, 0, block.shape.heads * block.shape.qk_dim);
}

/// Sequences of one group, with `tokens` [Lp, width] behind the first place of each, in place of
/// the `replaced` places there.
at::Tensor WithTokens(const at::Tensor& x, const SequenceGroup& group, const at::Tensor& tokens,
                      std::int64_t replaced) {
  const at::Tensor rows = x.view({group.sequences, group.length, -1});
  const at::Tensor learned =
      tokens.to(x.scalar_type()).expand({group.sequences, tokens.size(0), tokens.size(1)});
  const at::Tensor rest = rows.narrow(1, 1 + replaced, group.length - 1 - replaced);
  return at::cat({rows.narrow(1, 0, 1), learned, rest}, 1).view({-1, x.size(1)});
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

Transformer::Transformer(FreshWeights& weights, const std::string& name,
                         const TransformerOptions& options)
    : options_(options) {
  for (std::size_t i = 0; i < options.blocks.size(); ++i) {
    weights.At(options.tower, BlockPart(static_cast<std::int64_t>(i)));
    blocks_.push_back(MakeBlock(weights, fmt::format("{}.resblocks.{}.", name, i),
                                options.blocks[i], options.width, std::ssize(options.blocks),
                                options.start));
  }
}

at::Tensor Transformer::Attend(const TransformerBlock& block, const BranchInput& in) const {
  const at::Tensor all = block.in_proj(block.ln_1(in.x));
  const std::vector<at::Tensor> packed = PartsOf(all, PlacesOf(in.groups));
  std::vector<at::Tensor> mixed;  // [places, heads · v] each
  for (std::size_t i = 0; i < in.groups.size(); ++i) {
    mixed.push_back(MixAll(block, packed[i], in.groups[i]));
  }
  const at::Tensor sum = Added(block.out_proj(Joined(mixed)), in.x);
  if (block.tuners.mha.empty()) return sum;
  return Tuned(sum, block, block.tuners.mha, {in.x, in.groups, in.last, OwnQueries(block, all)});
}

at::Tensor Transformer::MixAll(const TransformerBlock& block, const at::Tensor& packed,
                               const SequenceGroup& group) const {
  const auto [heads, qk, v, ffn] = block.shape;
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
  const at::Tensor mixed =  // [b, heads, n, ·]
      block.tuners.attention
          ? block.tuners.attention->Mix(block, {qkv[0], qkv[1], qkv[2], options_.causal})
          : at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, 0, options_.causal);
  return mixed.transpose(1, 2).reshape({packed.size(0), heads * v});
}

at::Tensor Transformer::AttendFrom(const TransformerBlock& block, const at::Tensor& x,
                                   const SequenceGroups& groups, const at::Tensor& rows,
                                   const at::Tensor& pool) const {
  const auto [heads, qk, v, ffn] = block.shape;
  const at::Tensor normal = block.ln_1(x);
  const std::vector<Linear> in = block.in_proj.Split({heads * qk, heads * (qk + v)});
  std::vector<std::int64_t> sequences;
  for (const SequenceGroup& group : groups) sequences.push_back(group.sequences);
  const at::Tensor queries = in[0](normal.index_select(0, rows));
  const std::vector<at::Tensor> q = PartsOf(queries, sequences),
                                packed = PartsOf(in[1](normal), PlacesOf(groups)),
                                read = PartsOf(pool, sequences);
  std::vector<at::Tensor> mixed;  // [sequences, heads · v] each
  for (std::size_t i = 0; i < groups.size(); ++i) {
    mixed.push_back(MixFrom(block, q[i], packed[i], read[i]));
  }
  const at::Tensor stream = x.index_select(0, rows);
  const at::Tensor sum = Added(block.out_proj(Joined(mixed)), stream);
  if (block.tuners.mha.empty()) return sum;
  return Tuned(sum, block, block.tuners.mha, {.x = stream, .queries = OwnQueries(block, queries)});
}

/// q [batch, heads · qk] against keys and values [batch · n, heads · (qk + v)].
at::Tensor Transformer::MixFrom(const TransformerBlock& block, const at::Tensor& q,
                                const at::Tensor& packed, const at::Tensor& pool) const {
  const auto [heads, qk, v, ffn] = block.shape;
  const std::int64_t batch = q.size(0), n = packed.size(0) / batch;
  at::Tensor seen;  // [batch, n]: keys up to the position that is read
  if (options_.causal) {
    seen = at::arange(n, pool.options()).unsqueeze(0).le(pool.unsqueeze(1));
  }
  if (!packed.is_cpu() && !block.tuners.attention) {
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
  if (seen.defined()) seen = seen.view({batch, 1, 1, n});
  const at::Tensor one = q.view({batch, 1, heads, qk}).transpose(1, 2);
  const at::Tensor mixed =
      block.tuners.attention
          ? block.tuners.attention->Mix(block, {.q = one, .k = kv[0], .v = kv[1], .seen = seen})
          : at::scaled_dot_product_attention(one, kv[0], kv[1],
                                             seen.defined() ? std::optional(seen) : std::nullopt);
  return mixed.transpose(1, 2).reshape({batch, heads * v});
}

at::Tensor Transformer::AddMlp(const TransformerBlock& block, const BranchInput& in) const {
  const at::Tensor inner = block.c_fc(block.ln_2(in.x));
  const at::Tensor active = options_.quick_gelu ? QuickGelu(inner) : at::gelu(inner);
  return Tuned(Added(block.c_proj(active), in.x), block, block.tuners.ffn, in);
}

at::Tensor Transformer::Run(const TransformerBlock& block, const at::Tensor& x,
                            std::function<at::Tensor(const at::Tensor&)> part) const {
  if (!grad_checkpointing_) return part(x);
  return Recomputed(std::move(part), x, block.parameters());
}

// Learned tokens in front of a block; of the first, or in place of those of the block before.
void Transformer::Enter(std::size_t block, at::Tensor& x, SequenceGroups& groups) const {
  const at::Tensor learned =
      tokens_ ? tokens_->Before(static_cast<std::int64_t>(block)) : at::Tensor();
  if (!learned.defined()) return;
  const std::int64_t more = block == 0 ? tokens_->tokens() : 0;
  const std::vector<at::Tensor> parts = PartsOf(x, PlacesOf(groups));
  std::vector<at::Tensor> entered;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    entered.push_back(WithTokens(parts[i], groups[i], learned, tokens_->tokens() - more));
    groups[i].length += more;
  }
  x = Joined(entered);
}

at::Tensor Transformer::RunWhole(std::size_t number, const at::Tensor& x,
                                 const SequenceGroups& groups, const at::Tensor& last) const {
  const TransformerBlock& block = blocks_[number];
  return Run(block, x, [this, &block, groups, last](const at::Tensor& in) {
    const BranchInput whole{in, groups, last};
    const at::Tensor y = AddMlp(block, {Attend(block, whole), groups, last});
    return Tuned(y, block, block.tuners.block, whole);
  });
}

at::Tensor Transformer::RunLast(const at::Tensor& x, const SequenceGroups& groups,
                                const at::Tensor& pool) const {
  const TransformerBlock& block = blocks_.back();
  const at::Tensor rows = FirstPlaces(groups, pool).add_(pool);
  if (block.tuners.need_all_rows()) {
    return RunWhole(blocks_.size() - 1, x, groups, LastOf(pool)).index_select(0, rows);
  }
  return Run(block, x, [this, &block, groups, rows, pool](const at::Tensor& in) {
    const at::Tensor y = AddMlp(block, {.x = AttendFrom(block, in, groups, rows, pool)});
    if (block.tuners.block.empty()) return y;
    return Tuned(y, block, block.tuners.block, {.x = in.index_select(0, rows)});
  });
}

// Places behind it are padding in a causal tower; others have none.
at::Tensor Transformer::LastOf(const at::Tensor& pool) const {
  return options_.causal ? pool : at::Tensor();
}

at::Tensor Transformer::Forward(at::Tensor x, SequenceGroups groups, const at::Tensor& pool) const {
  for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) {
    Enter(i, x, groups);
    x = RunWhole(i, x, groups, LastOf(pool));
  }
  Enter(blocks_.size() - 1, x, groups);
  return RunLast(x, groups, pool);
}

at::Tensor Transformer::ForwardAll(at::Tensor x, SequenceGroups groups) const {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    Enter(i, x, groups);
    x = RunWhole(i, x, groups, {});
  }
  return x;
}

}  // namespace fastclip
