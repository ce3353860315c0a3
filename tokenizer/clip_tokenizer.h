#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_pair.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// CLIP's tokenizer, like OpenCLIP 3.3's SimpleTokenizer: CleanCaption(), words, byte pairs. The
/// last two ids are start and end; padding is 0, as in OpenCLIP. "<start_of_text>" and
/// "<end_of_text>" in a text become those ids.
class ClipTokenizer final : public Tokenizer {
 public:
  /// See BytePair::Load().
  explicit ClipTokenizer(const std::string& vocabulary);

  std::vector<TokenId> Encode(std::string_view text) const override;
  std::vector<TokenId> EncodePrefix(std::string_view text, std::size_t limit) const override;
  /// Puts a space after each word. Throws std::out_of_range for an unknown id.
  std::string Decode(std::span<const TokenId> ids) const override;
  SpecialTokens special() const override;
  int vocab_size() const override;

 private:
  BytePair pairs_;
};

/// The length in bytes of the first word of `text`: cleaned, not empty, not starting with a space.
/// The rule is CLIP's expression: special token | 's|'t|'re|'ve|'m|'ll|'d | letters | one digit |
/// others.
std::size_t WordLength(std::string_view text);

}  // namespace fastclip
