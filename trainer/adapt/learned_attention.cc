#include "trainer/adapt/learned_attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

#include "trainer/adapt/branch_parts.h"

namespace fastclip {
namespace {

/// A block's own keys that each query sees, [b or 1, 1, m, n]; undefined: all.
at::Tensor SeenOf(const AttentionInput& in) {
  if (!in.causal) return in.seen;
  const at::Tensor places = at::arange(in.k.size(2), in.k.options().dtype(at::kLong));
  return places.unsqueeze(0).le(places.unsqueeze(1)).view({1, 1, in.q.size(2), in.k.size(2)});
}

/// [b, heads, m, keys], with −∞ at keys that are not seen.
at::Tensor Scores(const at::Tensor& q, const at::Tensor& k, const at::Tensor& seen) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor scores = at::matmul(q * scale, k.transpose(2, 3));
  if (!seen.defined()) return scores;
  return scores.masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity());
}

class LearnedAttention : public AttentionTuner {
 public:
  LearnedAttention(LearnedKeys keys, KeysMix mix) : keys_(std::move(keys)), mix_(mix) {}

  std::vector<at::Tensor> parameters() const override { return keys_.parameters(); }

  at::Tensor Mix(const TransformerBlock& block, const AttentionInput& in) const override {
    const std::int64_t heads = block.shape.heads;
    const auto [keys, values] = keys_.Of(block);
    const auto by_head = [&](const at::Tensor& of) {  // [1, heads, Lp, dim]
      return of.to(in.q.scalar_type()).view({1, of.size(0), heads, -1}).transpose(1, 2);
    };
    const at::Tensor k = by_head(keys), v = by_head(values);
    return mix_ == KeysMix::kGated ? Gated(in, k, v) : Concatenated(in, k, v);
  }

 private:
  static at::Tensor Concatenated(const AttentionInput& in, const at::Tensor& k,
                                 const at::Tensor& v) {
    const auto in_front = [&](const at::Tensor& learned, const at::Tensor& own) {
      return at::cat({learned.expand({own.size(0), -1, -1, -1}), own}, 2);
    };
    const at::Tensor keys = in_front(k, in.k), values = in_front(v, in.v);
    at::Tensor seen = SeenOf(in);
    if (seen.defined()) seen = at::constant_pad_nd(seen, {k.size(2), 0}, true);
    // cuDNN's attention fails for some single queries (pytorch/pytorch#138529).
    if (in.q.size(2) == 1 && !in.q.is_cpu()) {
      return at::matmul(at::softmax(Scores(in.q, keys, seen), 3), values);
    }
    return at::scaled_dot_product_attention(in.q, keys, values,
                                            seen.defined() ? std::optional(seen) : std::nullopt);
  }

  static at::Tensor Gated(const AttentionInput& in, const at::Tensor& k, const at::Tensor& v) {
    const at::Tensor own = Scores(in.q, in.k, SeenOf(in)), learned = Scores(in.q, k, {});
    const at::Tensor share =
        at::sigmoid(at::logsumexp(learned, 3, true) - at::logsumexp(own, 3, true));
    return (1 - share) * at::matmul(at::softmax(own, 3), in.v) +
           share * at::matmul(at::softmax(learned, 3), v);
  }

  LearnedKeys keys_;
  KeysMix mix_;
};

}  // namespace

void AttachLearnedAttention(const TunerPlace& at, LearnedKeys keys, KeysMix mix) {
  if (at.block.tuners.attention) {
    at.fail(
        fmt::format("another tuner already replaces the attention of {}; only one of prefix, "
                    "p_prefix gate=lse and p_prompt gate=lse can",
                    at.site.id()));
  }
  at.block.tuners.attention = std::make_shared<LearnedAttention>(std::move(keys), mix);
}

/// Learned keys and values in front of those of each sequence, seen by all queries
/// (https://arxiv.org/abs/2101.00190).
AttachTuner ReadPrefix(TunerSettings& settings) {
  const std::int64_t lp = settings.Integer("lp", 10, 1, 1 << 16);
  RefuseZeroStart(settings, "its keys take a share of the softmax");
  return [=](const TunerPlace& at) {
    AttachLearnedAttention(at, LearnedKeys(LearnedKeys::Form::kPrefix, at, lp, false),
                           KeysMix::kConcatenated);
  };
}

}  // namespace fastclip
