#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// Why a record cannot be used. A skip is a value, not an exception, and depends only on the bytes.
/// (EIO, timeouts and out-of-memory are exceptions.)
enum class Skip : std::uint8_t {
  kNoImage,      ///< no member that could be an image
  kNoCaption,    ///< no caption, or only blank ones
  kUndecodable,  ///< the image's bytes are not what they claim
  kTooLarge,     ///< over a cap on pixels, scans, bytes or captions
  kTruncated,    ///< the shard, or the image in it, is truncated
  kMissing,      ///< the shard or the image file is missing
  kNoLabel,      ///< no label, where labels are needed
  kBadLabel,     ///< a label that is not an integer >= 0
  kChanged,      ///< bytes changed since the checksum was taken
  kBadRow,       ///< a table row that does not fit the columns, or is not a JSON object
  kBadJson,      ///< a needed .json that cannot be parsed or is over the cap
  kBadCaption,   ///< a caption that is not UTF-8
};
inline constexpr int kSkipCauses = 12;
/// Every cause, in the order of the enum.
inline constexpr std::array<Skip, kSkipCauses> kAllSkips = [] {
  std::array<Skip, kSkipCauses> all{};
  for (int i = 0; i < kSkipCauses; ++i) all[i] = static_cast<Skip>(i);
  return all;
}();

/// "no_image", "no_caption", "undecodable", "too_large", "truncated", "missing", "no_label",
/// "bad_label", "changed", "bad_row", "bad_json", "bad_caption".
const char* SkipName(Skip cause);
/// The cause in words for users: "the image's bytes are damaged or not an image".
const char* SkipMeaning(Skip cause);
/// The cause with that name, if any.
std::optional<Skip> SkipOfName(std::string_view name);

/// How many records were skipped, by cause.
class SkipCounts {
 public:
  std::int64_t& operator[](Skip cause) { return counts_[static_cast<std::size_t>(cause)]; }
  std::int64_t operator[](Skip cause) const { return counts_[static_cast<std::size_t>(cause)]; }
  SkipCounts& operator+=(const SkipCounts& other);
  SkipCounts& operator-=(const SkipCounts& other);
  bool operator==(const SkipCounts&) const = default;
  std::int64_t total() const;
  /// The counts in enum order, for sums over ranks.
  std::span<std::int64_t, kSkipCauses> values() { return counts_; }
  std::span<const std::int64_t, kSkipCauses> values() const { return counts_; }

 private:
  std::array<std::int64_t, kSkipCauses> counts_{};
};

/// "2 missing, 1 undecodable"; empty if nothing was skipped.
std::string DescribeSkips(const SkipCounts& counts);

}  // namespace fastclip
