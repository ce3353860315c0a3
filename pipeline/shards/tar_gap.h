#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fastclip {

/// The bytes of a tar, to search for a header.
class TarBytes {
 public:
  virtual ~TarBytes() = default;
  virtual std::int64_t size() const = 0;
  /// Up to `most` bytes from `at` on, fewer only at the end; valid until the next call.
  virtual std::span<const std::byte> Read(std::int64_t at, std::size_t most) = 0;
  /// The first byte from `at` on that can be non-zero: holes of a file need no reading.
  virtual std::int64_t NextData(std::int64_t at) { return at; }
};

bool IsZero(std::span<const std::byte> bytes);
/// Whether a block has a valid header checksum: of unsigned bytes or, as in old tars, of signed
/// ones.
bool IsTarHeader(std::span<const std::byte> block);

/// The gap between the members of a tar, or after them.
struct TarGap {
  std::int64_t begin = 0;
  std::int64_t zeros_end = 0;  ///< end of the leading zero blocks
  std::int64_t end = 0;        ///< the next header, or the end of the tar
  bool ends_in_zeros = false;  ///< its last block is complete and zero
};

/// The gap that begins at `begin`, with no header before `from`.
TarGap FindHeader(TarBytes& tar, std::int64_t begin, std::int64_t from);

/// Whether members can be lost in a gap: it has garbage, or zeros that are not part of a tar. `tar`
/// is the start of the tar that the gap ends or interrupts, `size` the end of the file.
bool IsDamage(const TarGap& gap, std::int64_t tar, std::int64_t size);

}  // namespace fastclip
