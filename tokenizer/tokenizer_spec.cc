#include "tokenizer/tokenizer_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

constexpr const char* kClipVocabulary = "bpe_simple_vocab_16e6.txt.gz";

}  // namespace

TokenizerSpec ParseTokenizerSpec(const std::string& spec) {
  const std::size_t colon = std::min(spec.find(':'), spec.size());
  TokenizerSpec parsed{spec.substr(0, colon), colon < spec.size() ? spec.substr(colon + 1) : ""};
  const bool names_a_file = !parsed.file.empty();
  if (spec == "clip" || (names_a_file && (parsed.kind == "clip" || parsed.kind == "sentencepiece")))
    return parsed;
  throw std::invalid_argument(
      fmt::format("tokenizer '{}': use clip, clip:VOCABULARY or sentencepiece:MODEL", spec));
}

std::string VocabularyFile(const TokenizerSpec& spec) {
  return spec.file.empty() ? SharedFile(kClipVocabulary) : spec.file;
}

}  // namespace fastclip
