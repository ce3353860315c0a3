// Learned keys and values beside a branch (U-Tuning): p_prefix and p_prompt.

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "trainer/adapt/branch_parts.h"
#include "trainer/adapt/learned_attention.h"
#include "trainer/adapt/learned_keys.h"

namespace fastclip {
namespace {

/// Attention's weights over the Lp learned keys alone: [rows, heads · Lp].
at::Tensor WeightsOver(const at::Tensor& keys, const TransformerBlock& block,
                       const BranchInput& input) {
  const std::int64_t heads = block.shape.heads, qk = block.shape.qk_dim, lp = keys.size(0);
  const std::int64_t rows = input.x.size(0), width = input.x.size(1);
  const at::Tensor scaled = keys * (1 / std::sqrt(static_cast<double>(qk)));
  const at::Tensor k = scaled.view({lp, heads, qk}).transpose(0, 1);  // [heads, Lp, qk]
  if (input.queries.defined()) {
    const at::Tensor q = input.queries.view({rows, heads, qk}).transpose(0, 1);
    return at::softmax(at::bmm(q, k.transpose(1, 2)), 2)
        .transpose(0, 1)
        .reshape({rows, heads * lp});
  }
  // q·k = (W_q LN1(t) + b_q)·k = LN1(t)·(W_qᵀ k) + b_q·k: Lp columns a head in place of its qk.
  const at::Tensor weight = block.in_proj.weight.narrow(0, 0, heads * qk).view({heads, qk, width});
  const at::Tensor bias = block.in_proj.bias.narrow(0, 0, heads * qk).view({heads, qk, 1});
  const at::Tensor scores =
      at::linear(block.ln_1(input.x), at::bmm(k, weight).view({heads * lp, width}),
                 at::bmm(k, bias).view({heads * lp}));
  return at::softmax(scores.view({rows, heads, lp}), 2).view({rows, heads * lp});
}

/// W_o times each head's values: [width, heads · Lp].
at::Tensor ValuesMapped(const at::Tensor& values, const TransformerBlock& block) {
  const std::int64_t heads = block.shape.heads, v = block.shape.v_dim, lp = values.size(0);
  const at::Tensor out = block.out_proj.weight.view({-1, heads, v}).transpose(0, 1);
  const at::Tensor of = values.view({lp, heads, v}).permute({1, 2, 0});  // [heads, v, Lp]
  return at::bmm(out, of).transpose(0, 1).reshape({-1, heads * lp});
}

class ParallelKeys : public BranchTuner {
 public:
  ParallelKeys(LearnedKeys keys, TunerScale scale)
      : keys_(std::move(keys)), scale_(std::move(scale)) {}

  std::vector<at::Tensor> parameters() const override {
    std::vector<at::Tensor> all = keys_.parameters();
    for (const at::Tensor& of : scale_.parameters()) all.push_back(of);
    return all;
  }
  bool needs_all_rows() const override { return scale_.depends_on_input(); }

  at::Tensor Delta(const TransformerBlock& block, const BranchInput& input) const override {
    const auto [keys, values] = keys_.Of(block);
    return scale_.Result(
        at::linear(WeightsOver(keys, block, input), scale_.Map(ValuesMapped(values, block))),
        input);
  }

 private:
  LearnedKeys keys_;
  TunerScale scale_;
};

AttachTuner ReadGated(TunerSettings& settings, LearnedKeys::Form form, std::int64_t lp) {
  if (settings.Choice("scale", {"none", "scalar", "channel", "input"}) != "none") {
    settings.Fail("gate=lse has no scale; leave out scale");
  }
  if (settings.Choice("init", {"zero", "paper"}) == "zero") {
    settings.Fail(
        "gate=lse takes part of the attention from the block's own keys, so it cannot start "
        "without an effect; write init=paper, or gate=scale");
  }
  return [=](const TunerPlace& at) {
    if (at.site.place != "mha") {
      at.fail(
          fmt::format("gate=lse mixes into the block's own attention, which {} does not "
                      "have; use the place mha, or gate=scale",
                      at.site.id()));
    }
    AttachLearnedAttention(at, LearnedKeys(form, at, lp, false), KeysMix::kGated);
  };
}

AttachTuner ReadKeys(TunerSettings& settings, LearnedKeys::Form form) {
  const std::int64_t lp = settings.Integer("lp", 10, 1, 1 << 16);
  if (settings.Choice("gate", {"scale", "lse"}) == "lse") return ReadGated(settings, form, lp);
  const ScaleKind scale = ReadScale(settings);
  const bool zero = settings.Choice("init", {"zero", "paper"}) == "zero";
  const bool prompt = form == LearnedKeys::Form::kPrompt;
  if (prompt && zero && (scale == ScaleKind::kNone || scale == ScaleKind::kInput)) {
    settings.Fail(
        "without a learned scale p_prompt cannot start without an effect; write init=paper, or "
        "scale=channel or scale=scalar");
  }
  return [=](const TunerPlace& at) {
    LearnedKeys keys(form, at, lp, zero);
    at.branch().push_back(std::make_shared<ParallelKeys>(
        std::move(keys), TunerScale(scale, at, prompt && zero ? 0 : 1)));
  };
}

}  // namespace

/// s ⊙ W_o·Attn(q(x), K, V) with learned keys K and values V (U-Tuning); q is the block's own, of
/// LN1(x). init: zero starts V at zero; paper has Xavier's. gate=lse (at mha): (1 − λ)·attention +
/// λ·Attn(q, K, V), λ being K's share of the softmax, which equals `prefix`.
AttachTuner ReadParallelPrefix(TunerSettings& settings) {
  return ReadKeys(settings, LearnedKeys::Form::kPrefix);
}

/// The same with K = W_k p + b_k, V = W_v p + b_v of a learned prompt p, W the block's own. init:
/// zero starts s at zero.
AttachTuner ReadParallelPrompt(TunerSettings& settings) {
  return ReadKeys(settings, LearnedKeys::Form::kPrompt);
}

}  // namespace fastclip
