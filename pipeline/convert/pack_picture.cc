#include "pipeline/convert/pack_picture.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "pipeline/pixels/encode.h"
#include "pipeline/pixels/resize.h"

namespace fastclip {
namespace {

const char* ExtensionOf(std::span<const std::byte> image) {
  switch (image.empty() ? std::byte{0} : image.front()) {
    case std::byte{0x89}:
      return "png";
    case std::byte{'R'}:
      return "webp";
    case std::byte{'G'}:
      return "gif";
    case std::byte{'B'}:
      return "bmp";
    default:
      return "jpg";
  }
}

/// torchvision's Resize: the longer side is rounded down.
ImageSize Shrunk(const Image& image, int shorter_side) {
  const int shorter = std::min(image.width, image.height);
  if (shorter_side == 0 || shorter <= shorter_side) return {image.width, image.height};
  const auto scale = [&](int side) {
    return static_cast<int>(std::int64_t{side} * shorter_side / shorter);
  };
  return {scale(image.width), scale(image.height)};
}

std::variant<PackedPicture, Skip> Keep(std::span<const std::byte> bytes,
                                       const ConvertOptions& options) {
  const auto size = ReadImageSize(bytes, options.decode);
  if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
  const ImageSize known = std::get<ImageSize>(size);
  return PackedPicture{ExtensionOf(bytes), {}, known, known};
}

std::variant<PackedPicture, Skip> Encode(std::span<const std::byte> bytes,
                                         const ConvertOptions& options) {
  auto decoded = options.background ? DecodeImageOver(bytes, *options.background, options.decode)
                                    : DecodeImage(bytes, options.decode);
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return *skip;
  Image image = std::move(std::get<Image>(decoded));
  PackedPicture packed;
  packed.original = {image.width, image.height};
  packed.size = Shrunk(image, options.resize);
  const bool is_jpeg = options.encoding == Encoding::kJpeg;
  if (!(is_jpeg ? FitsJpeg(packed.size) : FitsPng(packed.size))) return Skip::kTooLarge;
  if (packed.size.width != image.width || packed.size.height != image.height) {
    Image smaller{packed.size.width, packed.size.height, {}};
    smaller.pixels.resize(static_cast<std::size_t>(smaller.width) *
                          static_cast<std::size_t>(smaller.height) * 3);
    ResizeBicubic(image, {0, 0, image.height, image.width}, smaller.width, smaller.height,
                  smaller.pixels);
    image = std::move(smaller);
  }
  packed.extension = is_jpeg ? "jpg" : "png";
  packed.image = is_jpeg ? EncodeJpeg(image, options.quality) : EncodePng(image);
  return packed;
}

}  // namespace

std::variant<PackedPicture, Skip> PackPicture(std::span<const std::byte> bytes,
                                              const ConvertOptions& options) {
  return options.encoding == Encoding::kKeep ? Keep(bytes, options) : Encode(bytes, options);
}

}  // namespace fastclip
