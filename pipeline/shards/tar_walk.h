#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "pipeline/base/byte_range.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Block size of tar files; a manifest counts in blocks.
inline constexpr std::int64_t kTarBlock = 512;

struct TarMember {
  std::int64_t header_at = 0;  ///< its first header; a long name has several
  std::int64_t data_at = 0;
  std::int64_t size = 0;    ///< from the header; the file can be shorter
  std::int64_t stored = 0;  ///< bytes in the tar; fewer than `size` if sparse
  std::string_view path;    ///< valid during the call only
  /// For a sparse member in memory: writes its `size` bytes with holes as zeros; false if it is
  /// truncated. Empty for any other member. Valid during the call only.
  std::function<bool(std::span<std::byte> out)> expand{};
};

/// The result of a walk over a tar.
struct TarWalk {
  std::int64_t headers = 0;  ///< headers read, including folders and links
  /// Blocks without an expected header: garbage, or more zeros than the end of a tar has.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  bool at_mark = false;  ///< the file ends with zeros, as a complete tar does
};

/// Calls `visit` for each regular member. Continues after damage, and after the end-of-archive mark
/// if data follows, so tars joined by `cat` are read completely. Zeros are not damage where a tar
/// has them: up to a multiple of 10,240 bytes at the end; before another tar exactly two blocks, or
/// exactly up to such a multiple.
///
/// Walks the members within `bytes`, which begins with a header.
TarWalk WalkTar(std::span<const std::byte> bytes,
                const std::function<void(const TarMember&)>& visit);

/// Walks the members of a file. Reads little more than the headers. Throws like
/// RandomAccessFile::Read().
TarWalk WalkTar(const RandomAccessFile& file, const std::function<void(const TarMember&)>& visit);

}  // namespace fastclip
