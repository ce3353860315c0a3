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

/// Ids that frame a text. `start` is -1 where the vocabulary has none.
struct SpecialTokens {
  TokenId start = -1;
  TokenId end = 0;
  TokenId pad = 0;
};

/// Text to ids. Const and stateless: all threads share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Ids of `text` without start, end or padding. Any bytes are accepted: what is not UTF-8 is
  /// replaced by U+FFFD. A text of any length costs O(n log n).
  virtual std::vector<TokenId> Encode(std::string_view text) const = 0;
  /// The first `limit` ids of Encode(text), or all where there are fewer. Where it can, it spends
  /// no more on a long text than they need.
  virtual std::vector<TokenId> EncodePrefix(std::string_view text, std::size_t limit) const;
  virtual std::string Decode(std::span<const TokenId> ids) const = 0;
  virtual SpecialTokens special() const = 0;
  virtual int vocab_size() const = 0;
};

/// Writes `start text end pad…` over all of `out` (its size is the context length, 2 or more). A
/// long text is cut so that `end` stays the last id. Returns the pooling position: the place of the
/// first `end` after the start, whose feature stands for the whole text; under the causal mask
/// nothing behind it matters.
int EncodeContext(const Tokenizer& tokenizer, std::string_view text, std::span<TokenId> out);

/// "clip:VOCAB" (the file bpe_simple_vocab_16e6.txt, plain or gzip), "clip" (the one that set-up
/// installed, see SharedFile()), or "sentencepiece:MODEL". Throws std::runtime_error that names the
/// file and what to do.
std::shared_ptr<const Tokenizer> OpenTokenizer(const std::string& spec);

/// Path of a file that set-up or install placed in the share folder: beside the running binary in
/// share/, or in ../share/fastclip/. Throws std::runtime_error that says which set-up step makes
/// it.
std::string SharedFile(const std::string& name);

}  // namespace fastclip
