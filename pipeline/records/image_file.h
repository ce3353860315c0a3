#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "pipeline/records/block_builder.h"

namespace fastclip {

/// An image in its own file, not a member of a tar.
struct ImageFile {
  std::span<const std::byte> bytes;
  std::optional<Skip> skip;  ///< kMissing, kTooLarge, kTruncated; then there are no bytes
};

/// Reads a file of at most `max_bytes` into memory of `memory`. A file that becomes shorter while
/// it is read is kTruncated. Throws like OpenFile() and RandomAccessFile::Read().
ImageFile ReadImageFile(const std::string& path, std::int64_t max_bytes,
                        const std::stop_token& stop, BlockBuilder& memory);

}  // namespace fastclip
