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
/// id is added after its pieces as the end; without pad, the end id also pads (the first end
/// counts).
class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// Throws std::runtime_error with the file and what is wrong with it. The library first loads it
  /// in a child process (sentencepiece_check.h).
  explicit SentencePieceTokenizer(const std::string& model);
  ~SentencePieceTokenizer() override;

  /// A text longer than 4 KiB is encoded in parts, split at a space if there is one.
  std::vector<TokenId> Encode(std::string_view text) const override;
  std::vector<TokenId> EncodePrefix(std::string_view text, std::size_t limit) const override;
  /// Start, end and padding decode to nothing. Throws std::out_of_range for an unknown id.
  std::string Decode(std::span<const TokenId> ids) const override;
  SpecialTokens special() const override { return special_; }
  int vocab_size() const override { return vocab_size_; }

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  SpecialTokens special_;
  int vocab_size_ = 0;
};

struct SentencePieceTraining {
  /// Pieces of the model, including the four special ones.
  int vocab_size = 8000;
  /// "unigram" or "bpe".
  std::string algorithm = "unigram";
  /// Share of the characters that get pieces of their own; the rest is the unknown piece.
  double coverage = 0.9995;
  /// Fold case, as CLIP's tokenizer does.
  bool lower_case = true;
  /// Captions to train on, at most. Of more, a random sample is used, always the same. The library
  /// needs at least 101. 0: all.
  std::int64_t captions = 2'000'000;
};

/// Trains a model on captions with the library's trainer and returns the bytes of its file: unknown
/// 0, start 1, end 2, padding 3. `next` gives one caption per call and returns false at the end.
/// Captions that are not UTF-8, longer than 4,192 bytes or without a letter or digit are left out,
/// and counted in `left_out` if given. Throws std::runtime_error if the captions do not give such a
/// large vocabulary.
std::string TrainSentencePiece(const SentencePieceTraining& options,
                               const std::function<bool(std::string&)>& next,
                               std::int64_t* left_out = nullptr);

}  // namespace fastclip
