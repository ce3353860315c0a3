#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace fastclip {

/// Any SentencePiece model; the text is cleaned by the model's own normalization. Ids of start, end
/// and padding are the model's bos, eos and pad. A model without bos has no start; without eos, one
/// id behind its pieces is added as the end; without pad, the end also pads (the first end is what
/// counts).
class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// Throws std::runtime_error that names the file and what is wrong with it. The library is first
  /// tried on it in a child process (sentencepiece_check.h).
  explicit SentencePieceTokenizer(const std::string& model);
  ~SentencePieceTokenizer() override;

  /// A text longer than 4 KiB is encoded in parts that end at a space where there is one.
  std::vector<TokenId> Encode(std::string_view text) const override;
  std::vector<TokenId> EncodePrefix(std::string_view text, std::size_t limit) const override;
  /// Start, end and padding decode to nothing. Throws std::out_of_range for an id that the model
  /// lacks.
  std::string Decode(std::span<const TokenId> ids) const override;
  SpecialTokens special() const override { return special_; }
  int vocab_size() const override { return vocab_size_; }

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  SpecialTokens special_;
  int vocab_size_ = 0;
};

struct SentencePieceTraining {
  /// Pieces of the model, the four special ones among them.
  int vocab_size = 8000;
  /// "unigram" or "bpe".
  std::string algorithm = "unigram";
  /// Share of the characters that get pieces of their own; the rest is the unknown piece.
  double coverage = 0.9995;
  /// Fold case, as CLIP's tokenizer does.
  bool lower_case = true;
  /// Captions that are learned from; of more, so many are drawn at random, always the same. The
  /// library wants 101 or more. 0: all.
  std::int64_t captions = 2'000'000;
};

/// Learns a model from captions with the library's trainer and returns it, as its file holds it:
/// unknown 0, start 1, end 2, padding 3. `next` gives one caption a call and false at the end.
/// Those that are not UTF-8, over 4,192 bytes or without a letter or digit are left out, and
/// counted in `left_out` where it is given. Throws std::runtime_error where the captions do not
/// give so large a vocabulary.
std::string TrainSentencePiece(const SentencePieceTraining& options,
                               const std::function<bool(std::string&)>& next,
                               std::int64_t* left_out = nullptr);

}  // namespace fastclip
