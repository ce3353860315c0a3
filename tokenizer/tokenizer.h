#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

using TokenId = std::int32_t;

/// Ids that frame a text. `start` is -1 if the vocabulary has none.
struct SpecialTokens {
  TokenId start = -1;
  TokenId end = 0;
  TokenId pad = 0;
};

/// Text to ids. Stateless and thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Ids of `text` without start, end or padding. Any bytes are accepted; invalid UTF-8 is replaced
  /// by U+FFFD. O(n log n).
  virtual std::vector<TokenId> Encode(std::string_view text) const = 0;
  /// The first `limit` ids of Encode(text), or all if there are fewer. Stops early on a long text
  /// if it can.
  virtual std::vector<TokenId> EncodePrefix(std::string_view text, std::size_t limit) const;
  virtual std::string Decode(std::span<const TokenId> ids) const = 0;
  virtual SpecialTokens special() const = 0;
  virtual int vocab_size() const = 0;
};

/// Writes `start text end pad…` over all of `out` (its size is the context length, 2 or more). A
/// long text is truncated so that `end` is the last id. Returns the pooling position: that of the
/// first `end` after the start, whose feature represents the whole text. Under the causal mask
/// nothing after it matters.
int EncodeContext(const Tokenizer& tokenizer, std::string_view text, std::span<TokenId> out);

/// "clip:VOCAB" (the file bpe_simple_vocab_16e6.txt, plain or gzip), "clip" (the file that setup
/// installed, see SharedFile()), or "sentencepiece:MODEL". Throws std::runtime_error with the file
/// and what to do.
std::shared_ptr<const Tokenizer> OpenTokenizer(const std::string& spec);

/// Path of a file that setup or install placed in the share folder: share/ next to the running
/// binary, ../share/, or ../share/fastclip/; FASTCLIP_SHARE overrides them. Throws
/// std::runtime_error with the setup step that makes it.
std::string SharedFile(const std::string& name);

}  // namespace fastclip
