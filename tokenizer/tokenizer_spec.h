#pragma once

#include <string>

namespace fastclip {

/// What the words "clip", "clip:VOCABULARY" and "sentencepiece:MODEL" name.
struct TokenizerSpec {
  std::string kind;  ///< "clip" or "sentencepiece"
  std::string file;  ///< empty: the vocabulary that set-up installed
};

/// Throws std::invalid_argument for words of another form. The file is not looked at.
TokenizerSpec ParseTokenizerSpec(const std::string& spec);

/// The file that the tokenizer is read from. Throws std::runtime_error where it is the installed
/// one and not there.
std::string VocabularyFile(const TokenizerSpec& spec);

}  // namespace fastclip
