#include "pipeline/shards/tar_gap.h"

#include <algorithm>
#include <optional>

#include "pipeline/shards/tar_walk.h"

namespace fastclip {
namespace {

using Block = std::span<const std::byte>;

/// An octal number with blanks around it, as a header has it.
std::optional<std::int64_t> ParseOctal(Block field) {
  std::int64_t value = 0;
  bool any = false;
  for (const std::byte b : field) {
    const char c = static_cast<char>(b);
    if (c >= '0' && c <= '7') {
      value = value * 8 + (c - '0');
      any = true;
    } else if (any || (c != ' ' && c != '\0')) {
      break;
    }
  }
  return any ? std::optional(value) : std::nullopt;
}

/// What tar pads to by default: 20 blocks.
constexpr std::int64_t kPaddedTo = 20 * kTarBlock;

}  // namespace

bool IsZero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

bool IsTarHeader(std::span<const std::byte> block) {
  if (std::ssize(block) != kTarBlock) return false;
  static constexpr std::size_t kChecksumAt = 148, kChecksumBytes = 8;
  const auto field = block.subspan(kChecksumAt, kChecksumBytes);
  const std::optional<std::int64_t> told = ParseOctal(field);
  if (!told) return false;
  std::int64_t plain = 0, with_sign = 0;
  for (const std::byte b : block) {
    plain += std::to_integer<unsigned char>(b);
    with_sign += std::to_integer<signed char>(b);
  }
  for (const std::byte b : field) {  // counts as blanks
    plain += ' ' - std::to_integer<unsigned char>(b);
    with_sign += ' ' - std::to_integer<signed char>(b);
  }
  return *told == plain || *told == with_sign;
}

TarGap FindHeader(TarBytes& tar, std::int64_t begin, std::int64_t from) {
  static constexpr std::size_t kFirstRead = 8 * kTarBlock, kLargeRead = 256 << 10;
  TarGap gap{.begin = begin, .zeros_end = begin, .end = tar.size(), .ends_in_zeros = false};
  std::size_t most = kFirstRead;
  for (std::int64_t at = begin; at + kTarBlock <= tar.size();) {
    if (gap.zeros_end == at && at > begin) {
      const std::int64_t data = tar.NextData(at) / kTarBlock * kTarBlock;
      if (data > at) {
        at = gap.zeros_end = data;
        gap.ends_in_zeros = true;
        continue;
      }
    }
    const auto read = tar.Read(at, most);
    for (std::size_t i = 0; i + kTarBlock <= read.size(); i += kTarBlock, at += kTarBlock) {
      const Block block = read.subspan(i, kTarBlock);
      if (at >= from && IsTarHeader(block)) {
        gap.end = at;
        return gap;
      }
      gap.ends_in_zeros = IsZero(block);
      if (gap.ends_in_zeros && gap.zeros_end == at) gap.zeros_end = at + kTarBlock;
    }
    if (read.size() < kTarBlock) break;  // it has become shorter
    most = kLargeRead;
  }
  return gap;
}

bool IsDamage(const TarGap& gap, std::int64_t tar, std::int64_t size) {
  const std::int64_t end =
      gap.end - gap.end % kTarBlock;  // less than a block is a cut, if anything
  if (end <= gap.begin) return false;
  if (gap.zeros_end < end) return true;
  static constexpr std::int64_t kMark = 2 * kTarBlock;
  if (gap.end < size && gap.end - gap.begin == kMark) return false;
  const auto fits = [&](std::int64_t start) {
    // Its mark, and what pads it.
    const std::int64_t most =
        (gap.begin - start + kMark + kPaddedTo - 1) / kPaddedTo * kPaddedTo + start;
    return gap.end < size ? end == most : end <= most;
  };
  return !fits(0) && !fits(tar);
}

}  // namespace fastclip
