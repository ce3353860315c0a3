#pragma once

#include <cstdint>

namespace fastclip {

/// Bytes [begin, end) of a file.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool empty() const { return begin == end; }
  bool operator==(const ByteRange&) const = default;
};

}  // namespace fastclip
