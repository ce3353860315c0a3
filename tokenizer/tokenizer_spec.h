#pragma once

#include <string>

namespace fastclip {

/// A parsed "clip", "clip:VOCABULARY" or "sentencepiece:MODEL".
struct TokenizerSpec {
  std::string kind;  ///< "clip" or "sentencepiece"
  std::string file;  ///< empty: the vocabulary that set-up installed
};

/// Throws std::invalid_argument for any other text. The file is not opened.
TokenizerSpec ParseTokenizerSpec(const std::string& spec);

/// The tokenizer's file. Throws std::runtime_error if it is the installed one and missing.
std::string VocabularyFile(const TokenizerSpec& spec);

}  // namespace fastclip
