// Visual prompt tuning (https://arxiv.org/abs/2203.12119).

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "trainer/adapt/branch_parts.h"

namespace fastclip {
namespace {

class Prompts : public TokenTuner {
 public:
  /// prompt: [Lp, width], or [blocks, Lp, width] for those of each block.
  explicit Prompts(at::Tensor prompt) : prompt_(std::move(prompt)) {}

  std::vector<at::Tensor> parameters() const override { return {prompt_}; }
  std::int64_t tokens() const override { return prompt_.size(-2); }
  at::Tensor Before(std::int64_t block) const override {
    if (prompt_.dim() == 3) return prompt_[block];
    return block == 0 ? prompt_ : at::Tensor();
  }

 private:
  at::Tensor prompt_;
};

AttachTuner ReadPrompts(TunerSettings& settings, bool deep) {
  const std::int64_t lp = settings.Integer("lp", 10, 1, 1 << 16);
  RefuseZeroStart(settings, "its tokens take a share of the softmax");
  return [=](const TunerPlace& at) {
    if (at.site.tower == Tower::kText) {
      at.fail(
          "prompts among a caption's tokens would move its end token and shorten its context; in "
          "the text tower use a parallel form, p_prompt or p_prefix at text.block.*.mha");
    }
    if (at.tower.has_tokens()) {
      at.fail(fmt::format("the {} tower has prompts already", at.site.id()));
    }
    FreshWeights::Shape shape = {lp, at.width()};
    if (deep) shape.insert(shape.begin(), std::ssize(at.tower.blocks()));
    at.tower.set_tokens(std::make_shared<Prompts>(
        at.weights.Uniform(at.Name("tokens.prompt"), shape,
                           std::sqrt(6 / static_cast<double>(lp + at.width())), Role::kAdded)));
  };
}

}  // namespace

/// Lp learned tokens behind the class token, in front of the first block.
AttachTuner ReadPromptShallow(TunerSettings& settings) { return ReadPrompts(settings, false); }

/// The same, and in front of each later block others in their place.
AttachTuner ReadPromptDeep(TunerSettings& settings) { return ReadPrompts(settings, true); }

}  // namespace fastclip
