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

/// What to read from a record.
struct WantedFields {
  PictureFormats formats;
  std::optional<LabelKey> labels;  ///< set: a label instead of captions
  std::vector<CaptionKey> captions;
  CaptionLines caption_lines = CaptionLines::kWhole;
  std::int64_t max_record_bytes = 0;              ///< a larger sparse member is Skip::kTooLarge
  std::shared_ptr<const ClassNames> class_names;  ///< for labels that are names; can be null
};

/// Records of a shard that are fetched together.
struct FetchedRecords {
  std::span<const std::byte> bytes;  // fewer if the shard is truncated
  /// Record i begins at starts[i] − starts[0] in `bytes`; has one more entry than there are
  /// records.
  std::span<const std::uint32_t> starts;
  std::span<const std::uint32_t> checksums;  // empty: not checked
  SampleIndex first{};
  bool last_at_cut = false;  ///< the shard was truncated in the last record when it was indexed
  bool shortened = false;    ///< it is shorter than when it was indexed

  /// The size of a record in the shard.
  std::size_t SizeOf(std::size_t record) const;
  /// The available bytes of a record.
  std::span<const std::byte> BytesOf(std::size_t record) const;
};

/// Adds the records; the result does not depend on how many are fetched together. If only one is
/// fetched, `stored` gets its unchanged members. Records that do not match their checksum are
/// Skip::kChanged; a record that lacks something has a Skip, kTruncated if it is cut off. In a
/// shortened shard a record is kTruncated even if only a member is cut off that it can do without:
/// it would be another one than before. Returns how many have a .txt of several lines as caption.
std::int64_t AddRecords(const FetchedRecords& fetched, const WantedFields& wanted,
                        BlockBuilder& builder, StoredRecord* stored = nullptr);

/// RecordSource::FieldsOf for the record with the members in `bytes`. Names that are long or not
/// printable are left out.
std::vector<std::string> FieldNames(std::span<const std::byte> bytes);

}  // namespace fastclip
