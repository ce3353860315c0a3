// LoRA beside a whole branch (U-Tuning).

#include <ATen/ATen.h>

#include "trainer/adapt/branch_parts.h"
#include "trainer/adapt/lora.h"

namespace fastclip {
namespace {

class ParallelLora : public BranchTuner {
 public:
  ParallelLora(LoraPair pair, BranchNorm norm) : pair_(std::move(pair)), norm_(norm) {}

  std::vector<at::Tensor> parameters() const override { return {pair_.a, pair_.b}; }
  at::Tensor Delta(const TransformerBlock& block, const BranchInput& input) const override {
    return pair_.Delta(Normed(norm_, block, input.x));
  }

 private:
  LoraPair pair_;
  BranchNorm norm_;
};

}  // namespace

/// scaling · B A x beside MHA, MLP or the block. Settings and start as those of `lora`.
AttachTuner ReadParallelLora(TunerSettings& settings) {
  const LoraOptions options = ReadLoraOptions(settings);
  const bool post_norm = ReadPostNorm(settings);
  return [=](const TunerPlace& at) {
    at.branch().push_back(std::make_shared<ParallelLora>(
        MakeLoraPair(at, options, at.width(), at.width()), NormAt(at.site, post_norm)));
  };
}

}  // namespace fastclip
