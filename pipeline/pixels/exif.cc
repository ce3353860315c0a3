#include "pipeline/pixels/exif.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace fastclip {
namespace {

/// Numbers of a TIFF structure; 0 outside of it.
class Tiff {
 public:
  explicit Tiff(std::span<const std::byte> bytes) : bytes_(bytes) {
    valid_ = bytes.size() >= 8 && (std::memcmp(bytes.data(), "II*\0", 4) == 0 ||
                                   std::memcmp(bytes.data(), "MM\0*", 4) == 0);
    big_endian_ = valid_ && bytes[0] == std::byte{'M'};
  }
  bool valid() const { return valid_; }
  std::size_t size() const { return bytes_.size(); }
  std::uint32_t At(std::size_t at, int width) const {
    if (at + width > bytes_.size()) return 0;
    std::uint32_t value = 0;
    for (int i = 0; i < width; ++i) {
      const int shift = 8 * (big_endian_ ? width - 1 - i : i);
      value |= std::to_integer<std::uint32_t>(bytes_[at + i]) << shift;
    }
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool valid_ = false;
  bool big_endian_ = false;
};

/// A stored picture is shown mirrored left to right, top to bottom, and then with its axes swapped.
struct Turn {
  bool mirror_x, mirror_y, swap;
};

Turn TurnOf(Orientation orientation) {
  const auto is = [&](int a, int b, int c, int d) {
    return orientation == a || orientation == b || orientation == c || orientation == d;
  };
  return {is(2, 3, 7, 8), is(3, 4, 6, 7), orientation >= 5};
}

/// The orientation that turns back.
Orientation Inverse(Orientation orientation) {
  if (orientation == 6) return 8;
  return orientation == 8 ? 6 : orientation;
}

}  // namespace

Orientation ReadOrientation(std::span<const std::byte> exif) {
  constexpr std::uint32_t kOrientationTag = 0x112, kShort = 3, kLong = 4;
  constexpr std::size_t kEntryBytes = 12;
  if (exif.size() >= 6 && std::memcmp(exif.data(), "Exif\0\0", 6) == 0) exif = exif.subspan(6);
  const Tiff tiff(exif);
  if (!tiff.valid()) return kUpright;
  const std::size_t directory = tiff.At(4, 4);
  const std::uint32_t entries = tiff.At(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + i * kEntryBytes;  // tag, type, count, value
    if (at + kEntryBytes > tiff.size()) return kUpright;
    if (tiff.At(at, 2) != kOrientationTag) continue;
    const std::uint32_t type = tiff.At(at + 2, 2);
    const std::uint32_t value = tiff.At(at + 8, type == kLong ? 4 : 2);
    const bool usable =
        (type == kShort || type == kLong) && tiff.At(at + 4, 4) == 1 && value >= 1 && value <= 8;
    return usable ? static_cast<Orientation>(value) : kUpright;
  }
  return kUpright;
}

ImageSize ShownSize(const ImageSize& stored, Orientation orientation) {
  return TurnOf(orientation).swap ? ImageSize{stored.height, stored.width} : stored;
}

CropBox StoredBox(const CropBox& shown, const ImageSize& stored, Orientation orientation) {
  const Turn turn = TurnOf(orientation);
  CropBox box = shown;
  if (turn.swap) box = {shown.left, shown.top, shown.width, shown.height};
  if (turn.mirror_x) box.left = stored.width - box.left - box.width;
  if (turn.mirror_y) box.top = stored.height - box.top - box.height;
  return box;
}

void TurnPart(Orientation orientation, PicturePart& part) {
  const Image& stored = part.image;
  const ImageSize stored_size{stored.width, stored.height};
  const auto [width, height] = ShownSize(stored_size, orientation);
  Image shown{width, height, std::vector<std::uint8_t>(stored.pixels.size())};
  std::uint8_t* out = shown.pixels.data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x, out += 3) {
      const CropBox from = StoredBox({y, x, 1, 1}, stored_size, orientation);
      const std::size_t pixel = std::size_t{1} * from.top * stored.width + from.left;
      std::copy_n(stored.pixels.data() + 3 * pixel, 3, out);
    }
  }
  // What is shown of the stored picture is stored of the shown one, turned back.
  part.box = StoredBox(part.box, {width, height}, Inverse(orientation));
  part.image = std::move(shown);
}

}  // namespace fastclip
