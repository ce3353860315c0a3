#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/records/record.h"

namespace fastclip {

/// Builds a RecordBlock. Captions belong to the record added last.
class BlockBuilder {
 public:
  /// Memory that lives as long as the block.
  std::span<std::byte> Allocate(std::size_t bytes);
  std::string_view Keep(std::string_view text);

  Record& Add(SampleIndex index);
  void AddCaption(std::string_view text, float weight = 1);
  /// Adds a caption as all sources do: trimmed and truncated to kMaxCaptionBytes. Nothing is added
  /// if it is blank or not UTF-8, or if the record has too many captions.
  void AddTrimmedCaption(std::string_view text);
  /// Adds each non-blank line of `text` as such a caption.
  void AddCaptionLines(std::string_view text);
  std::size_t CaptionsOfLast() const { return caption_counts_.back(); }
  /// What is wrong with the captions of the record added last: kTooLarge for more than
  /// kMaxCaptions, or kMaxCaptionsBytes in total; kBadCaption if one was not UTF-8.
  std::optional<Skip> FaultOfCaptions() const { return fault_of_captions_; }
  /// Splits `weight` evenly among the last `count` captions.
  void ShareWeight(std::size_t count, float weight);
  /// Adds the records of `block` with their indices increased by `shift`.
  void Append(RecordBlock block, std::int64_t shift);

  RecordBlock Finish();

 private:
  RecordBlock block_;
  std::vector<std::size_t> caption_counts_;
  // Of the record added last:
  std::size_t caption_bytes_ = 0;
  std::optional<Skip> fault_of_captions_;
};

/// Longer captions are truncated here, at a character boundary. The limit is about 10,000 words,
/// far above any context length; it keeps blocks small and tokenizers fast.
inline constexpr std::size_t kMaxCaptionBytes = 64 << 10;
inline constexpr std::size_t kMaxCaptions = 1000, kMaxCaptionsBytes = 1 << 20;

/// Whether `text` has several non-blank lines.
bool HasSeveralLines(std::string_view text);

}  // namespace fastclip
