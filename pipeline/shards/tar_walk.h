#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "pipeline/base/byte_range.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Tar files are made of blocks of this size; a manifest counts in them.
inline constexpr std::int64_t kTarBlock = 512;

struct TarMember {
  std::int64_t header_at = 0;  ///< of its first header: a long name has several
  std::int64_t data_at = 0;
  std::int64_t size = 0;    ///< as the header says: the file may be shorter
  std::int64_t stored = 0;  ///< bytes in the tar: fewer than `size` where it is sparse
  std::string_view path;    ///< valid during the call only
  /// Of a sparse member in memory: writes its `size` bytes, holes as zeros; false where they end
  /// early. Empty for any other member. Valid during the call only.
  std::function<bool(std::span<std::byte> out)> expand{};
};

/// How a walk over a tar went.
struct TarWalk {
  std::int64_t headers = 0;  ///< that were read, those of folders and links too
  /// Blocks where a header should be and none is: garbage, or more zeros than a tar has at its end.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  bool at_mark = false;  ///< the file ends with zeros, as a tar does that was written to its end
};

/// Calls `visit` for each regular member. Goes on behind damage, and behind the mark that ends a
/// tar where data follows: so tars joined by `cat` are read to the end. Zeros are no damage where a
/// tar has them: up to a multiple of 10,240 bytes at the end; before another tar just two blocks,
/// or just up to such a multiple.
///
/// The members within `bytes`, whose first byte is a header.
TarWalk WalkTar(std::span<const std::byte> bytes,
                const std::function<void(const TarMember&)>& visit);

/// The members of a file. Reads little more than the headers. Throws as RandomAccessFile::Read().
TarWalk WalkTar(const RandomAccessFile& file, const std::function<void(const TarMember&)>& visit);

}  // namespace fastclip
