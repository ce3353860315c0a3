#include "trainer/adapt/kinds.h"

namespace fastclip {

const std::vector<TunerKind>& TunerKinds() {
  static const std::vector<TunerKind> kinds = {
      {"lora", {"q", "k", "v", "o", "fc1", "fc2"}, ReadLora},
      {"s2ft", {"o", "fc2"}, ReadS2ft},
      {"adapter", {"ffn"}, ReadAdapter},
      {"prefix", {"mha"}, ReadPrefix},
      {"prompt_shallow", {""}, ReadPromptShallow},
      {"prompt_deep", {""}, ReadPromptDeep},
      {"p_adapter", {"mha", "ffn", "block"}, ReadParallelAdapter},
      {"p_prefix", {"mha", "ffn", "block"}, ReadParallelPrefix},
      {"p_prompt", {"mha", "ffn", "block"}, ReadParallelPrompt},
      {"p_lora", {"mha", "ffn", "block"}, ReadParallelLora},
      {"bitfit", {""}, ReadBitFit},
      {"full", {""}, ReadFull},
  };
  return kinds;
}

std::int64_t TunerPlace::width() const { return block.ln_1.weight.size(0); }

std::vector<std::shared_ptr<const BranchTuner>>& TunerPlace::branch() const {
  if (site.place == "mha") return block.tuners.mha;
  return site.place == "ffn" ? block.tuners.ffn : block.tuners.block;
}

std::string TunerPlace::Name(std::string_view parameter) const {
  return site.id().append(".").append(parameter);
}

}  // namespace fastclip
