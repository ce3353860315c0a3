#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// The pair's row in every per-sample state: dense, the same in each epoch, rank and restart. It
/// comes from a manifest (the shard's first index + the place in the shard), never from a key.
enum class SampleIndex : std::int64_t {};

constexpr std::int64_t ToInt(SampleIndex index) { return static_cast<std::int64_t>(index); }

/// Why a record cannot be used. Web data is dirty: a skip is a value, no exception, and a
/// property of the bytes only. (EIO, timeouts and out-of-memory are exceptions.)
enum class Skip : std::uint8_t {
  kNoImage,      ///< no member that could be an image
  kNoCaption,    ///< no caption, or only blank ones
  kUndecodable,  ///< the image's bytes are not what they claim
  kTooLarge,     ///< over a cap on pixels, scans, bytes or captions
  kTruncated,    ///< the shard, or the image in it, ends early
  kMissing,      ///< the shard or the image file is gone
  kNoLabel,      ///< no label, where labels were asked for
  kBadLabel,     ///< a label that is no whole number of 0 or more
  kChanged,      ///< other bytes than when its checksum was taken
  kBadRow,       ///< a table row that does not fit the table's columns, or is no JSON object
  kBadJson,      ///< a .json that cannot be parsed, or is over the cap, where it was needed
  kBadCaption,   ///< a caption that is not UTF-8
};
constexpr int kSkipCauses = 12;
/// "no_image", "no_caption", "undecodable", "too_large", "truncated", "missing", "no_label",
/// "bad_label", "changed", "bad_row", "bad_json", "bad_caption".
const char* SkipName(Skip cause);
/// The cause of such a name, if it is one.
std::optional<Skip> SkipOfName(std::string_view name);
using SkipCounts = std::array<std::int64_t, kSkipCauses>;
/// "2 missing, 1 undecodable"; empty where nothing was skipped.
std::string DescribeSkips(const SkipCounts& counts);

struct Caption {
  std::string_view text;
  float weight = 1;
};

/// One pair as it lies in its source: views into the block that holds it. Where `skip` is set the
/// record keeps its place, but image and captions are not to be used.
struct Record {
  SampleIndex index{};
  std::string_view key;
  std::span<const std::byte> image;
  std::span<const Caption> captions;
  std::int64_t label = -1;
  std::optional<Skip> skip;
};

/// Bytes that records view. Large ones are pages of their own: malloc would keep them, once it has
/// seen some come and go, and a loader would pass its limit by what lies unused.
struct FreeRecordMemory {
  std::size_t mapped = 0;  ///< bytes of such pages; 0: of the heap
  void operator()(std::byte* bytes) const noexcept;
};
using RecordMemory = std::unique_ptr<std::byte[], FreeRecordMemory>;
/// Throws std::bad_alloc.
RecordMemory MakeRecordMemory(std::size_t bytes);

/// Consecutive records and the memory that they view. Move-only; moving keeps the views valid.
struct RecordBlock {
  std::vector<Record> records;
  std::vector<Caption> captions;
  std::vector<RecordMemory> memory;

  RecordBlock() = default;
  RecordBlock(RecordBlock&&) = default;
  RecordBlock& operator=(RecordBlock&&) = default;
};

}  // namespace fastclip
