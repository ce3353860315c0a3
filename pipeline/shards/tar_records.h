#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/records/block_builder.h"
#include "pipeline/records/caption_key.h"
#include "pipeline/records/label.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/records/record_source.h"
#include "pipeline/records/stored_record.h"

namespace fastclip {

/// What is taken from a record.
struct WantedFields {
  PictureFormats formats;
  std::optional<LabelKey> labels;  ///< set: a label instead of captions
  std::vector<CaptionKey> captions;
  CaptionLines caption_lines = CaptionLines::kWhole;
  std::int64_t max_record_bytes = 0;  ///< a sparse member that has more is Skip::kTooLarge
  std::shared_ptr<const ClassNames> class_names;  ///< of labels that are names, if any
};

/// Records of a shard that are fetched together.
struct FetchedRecords {
  std::span<const std::byte> bytes;  // fewer where the shard ends early
  /// starts[i] − starts[0] is where record i begins in `bytes`; one more than there are records.
  std::span<const std::uint32_t> starts;
  std::span<const std::uint32_t> checksums;  // none: they are not looked at
  SampleIndex first{};
  bool last_at_cut = false;

  /// The bytes that one of them has in the shard.
  std::size_t SizeOf(std::size_t record) const;
  /// The bytes of one of them, as far as they are there.
  std::span<const std::byte> BytesOf(std::size_t record) const;
};

/// Adds what the members of each make, the same with whatever records it is fetched. `stored`,
/// where only one is fetched, gets its members as they are. Records whose bytes do not have their
/// checksum are Skip::kChanged; what a record lacks is its Skip, kTruncated where it was cut off.
/// Returns how many of them have a .txt of several lines for a caption.
std::int64_t AddRecords(const FetchedRecords& fetched, const WantedFields& wanted,
                        BlockBuilder& builder, StoredRecord* stored = nullptr);

/// Of the members in `bytes`, a record's: what RecordSource::FieldsOf gives. Names that are long or
/// hold what no terminal should get are left out.
std::vector<std::string> FieldNames(std::span<const std::byte> bytes);

}  // namespace fastclip
