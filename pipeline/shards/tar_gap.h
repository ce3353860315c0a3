#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fastclip {

/// The bytes of a tar, for the search for a header.
class TarBytes {
 public:
  virtual ~TarBytes() = default;
  virtual std::int64_t size() const = 0;
  /// Up to `most` bytes from `at` on, fewer only at the end; valid until the next call.
  virtual std::span<const std::byte> Read(std::int64_t at, std::size_t most) = 0;
  /// The first byte from `at` on that may not be zero: a file has holes that need no reading.
  virtual std::int64_t NextData(std::int64_t at) { return at; }
};

bool IsZero(std::span<const std::byte> bytes);
/// Whether a block has the checksum of a header: of its bytes, taken without sign or, as old tars
/// have it, with one.
bool IsTarHeader(std::span<const std::byte> block);

/// What lies between the members of a tar, or behind them.
struct TarGap {
  std::int64_t begin = 0;
  std::int64_t zeros_end = 0;  ///< zeros come first: whole blocks of them up to here
  std::int64_t end = 0;        ///< here is a header, or the tar ends
  bool ends_in_zeros = false;  ///< its last block is whole, and zeros
};

/// The gap that begins at `begin`, where no header is before `from`.
TarGap FindHeader(TarBytes& tar, std::int64_t begin, std::int64_t from);

/// Whether members may have been lost in a gap: garbage, or zeros that no tar has. `tar` is where
/// the tar begins that the gap ends or interrupts, `size` where the file ends.
bool IsDamage(const TarGap& gap, std::int64_t tar, std::int64_t size);

}  // namespace fastclip
