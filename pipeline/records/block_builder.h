#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/records/record.h"

namespace fastclip {

/// Puts a RecordBlock together; for the makers of records. Captions belong to the record added
/// last.
class BlockBuilder {
 public:
  /// Memory that lives as long as the block.
  std::span<std::byte> Allocate(std::size_t bytes);
  std::string_view Keep(std::string_view text);

  Record& Add(SampleIndex index);
  void AddCaption(std::string_view text, float weight = 1);
  /// A caption as the makers of records all treat it: blanks at its ends are dropped, what is left
  /// is cut to kMaxCaptionBytes, and nothing is added if nothing is left, if it is not UTF-8, or if
  /// the record has too many captions.
  void AddTrimmedCaption(std::string_view text);
  /// Each line of `text` that is not blank as such a caption.
  void AddCaptionLines(std::string_view text);
  std::size_t CaptionsOfLast() const { return caption_counts_.back(); }
  /// What is wrong with the captions of the record added last: kTooLarge where there were more than
  /// kMaxCaptions, or than kMaxCaptionsBytes in all, kBadCaption where one was not UTF-8.
  std::optional<Skip> FaultOfCaptions() const { return fault_of_captions_; }
  /// The last `count` captions share `weight` evenly.
  void ShareWeight(std::size_t count, float weight);
  /// The records of `block`, their indices moved up by `shift`.
  void Append(RecordBlock block, std::int64_t shift);

  RecordBlock Finish();

 private:
  RecordBlock block_;
  std::vector<std::size_t> caption_counts_;
  // Of the record added last:
  std::size_t caption_bytes_ = 0;
  std::optional<Skip> fault_of_captions_;
};

/// A longer caption is cut here, at the border of a character: some 10,000 words, far over any
/// context length, so that no caption makes a block large or a tokenizer slow.
inline constexpr std::size_t kMaxCaptionBytes = 64 << 10;
inline constexpr std::size_t kMaxCaptions = 1000, kMaxCaptionsBytes = 1 << 20;

/// Whether `text` has several lines that are not blank.
bool HasSeveralLines(std::string_view text);

}  // namespace fastclip
