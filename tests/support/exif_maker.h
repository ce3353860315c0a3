#pragma once

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace fastclip {

/// An EXIF block, high bytes first, that says nothing but an orientation.
inline std::vector<std::byte> ExifOf(int orientation) {
  const std::initializer_list<int> bytes = {
      'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42,          0, 0, 0, 8,  // the directory's place
      0,   1,                                                           // one entry
      1,   0x12, 0,   3,   0, 0, 0,   1,   0, orientation, 0, 0,        // tag, type, count, value
      0,   0,    0,   0};
  std::vector<std::byte> exif;
  for (const int value : bytes) exif.push_back(static_cast<std::byte>(value));
  return exif;
}

/// A JPEG with the block as its APP1, right behind its first marker.
inline std::vector<std::byte> WithExif(std::vector<std::byte> jpeg,
                                       const std::vector<std::byte>& exif) {
  const std::size_t length = exif.size() + 2;
  std::vector<std::byte> marker = {std::byte{0xff}, std::byte{0xe1},
                                   static_cast<std::byte>(length >> 8),
                                   static_cast<std::byte>(length & 0xff)};
  marker.insert(marker.end(), exif.begin(), exif.end());
  jpeg.insert(jpeg.begin() + 2, marker.begin(), marker.end());
  return jpeg;
}

}  // namespace fastclip
