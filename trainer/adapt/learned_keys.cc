#include "trainer/adapt/learned_keys.h"

#include <ATen/ATen.h>

#include "trainer/adapt/branch_parts.h"

namespace fastclip {

LearnedKeys::LearnedKeys(Form form, const TunerPlace& at, std::int64_t lp, bool zero_values) {
  const auto [heads, qk, v, ffn] = at.block.shape;
  if (form == Form::kPrompt) {
    prompt_ = XavierUniform(at, "prompt", lp, at.width());
    return;
  }
  keys_ = XavierUniform(at, "prefix_k", lp, heads * qk);
  values_ = zero_values ? at.weights.Constant(at.Name("prefix_v"), {lp, heads * v}, 0, Role::kAdded)
                        : XavierUniform(at, "prefix_v", lp, heads * v);
}

KeysAndValues LearnedKeys::Of(const TransformerBlock& block) const {
  if (!prompt_.defined()) return {keys_, values_};
  const auto [heads, qk, v, ffn] = block.shape;
  const at::Tensor weight = block.in_proj.weight.narrow(0, heads * qk, heads * (qk + v));
  const at::Tensor bias = block.in_proj.bias.narrow(0, heads * qk, heads * (qk + v));
  const std::vector<at::Tensor> parts =
      at::linear(prompt_, weight, bias).split_with_sizes({heads * qk, heads * v}, 1);
  return {parts[0], parts[1]};
}

std::vector<at::Tensor> LearnedKeys::parameters() const {
  if (prompt_.defined()) return {prompt_};
  return {keys_, values_};
}

}  // namespace fastclip
