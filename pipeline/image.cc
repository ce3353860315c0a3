#include "pipeline/image.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/jpeg.h"
#include "pipeline/png.h"
#include "pipeline/webp.h"

namespace fastclip {
namespace {

enum class Kind { kJpeg, kPng, kWebp, kNone };

Kind KindOf(std::span<const std::byte> bytes) {
  if (LooksLikeJpeg(bytes)) return Kind::kJpeg;
  if (LooksLikePng(bytes)) return Kind::kPng;
  if (LooksLikeWebp(bytes)) return Kind::kWebp;
  return Kind::kNone;
}

/// A file too short to tell its kind is cut off; anything longer is no picture.
constexpr std::size_t kLongestSignature = 12;

std::variant<ImageSize, Skip> ReadSizeOf(Kind kind, std::span<const std::byte> bytes) {
  switch (kind) {
    case Kind::kJpeg:
      return ReadJpegSize(bytes);
    case Kind::kPng:
      return ReadPngSize(bytes);
    case Kind::kWebp:
      return ReadWebpSize(bytes);
    case Kind::kNone:
      break;
  }
  return bytes.size() < kLongestSignature ? Skip::kTruncated : Skip::kUndecodable;
}

std::variant<ImageSize, Skip> ReadAllowedSize(Kind kind, std::span<const std::byte> bytes,
                                              const DecodeOptions& options) {
  const auto size = ReadSizeOf(kind, bytes);
  if (const ImageSize* claimed = std::get_if<ImageSize>(&size)) {
    if (claimed->width <= 0 || claimed->height <= 0) return Skip::kUndecodable;
    if (std::int64_t{claimed->width} * claimed->height > options.max_pixels) return Skip::kTooLarge;
  }
  return size;
}

CropBox Whole(const ImageSize& size) { return {0, 0, size.height, size.width}; }

bool Inside(const CropBox& box, const ImageSize& size) {
  return box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0 &&
         box.width <= size.width - box.left && box.height <= size.height - box.top;
}

/// Without a box: all of it.
std::optional<Skip> Decode(std::span<const std::byte> bytes, const CropBox* box,
                           const Rgb* background, const DecodeOptions& options, PicturePart& part) {
  const Kind kind = KindOf(bytes);
  const auto size = ReadAllowedSize(kind, bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
  const CropBox wanted = box == nullptr ? Whole(std::get<ImageSize>(size)) : *box;
  if (!Inside(wanted, std::get<ImageSize>(size))) {
    throw std::invalid_argument("DecodePart: a box that is not inside of the picture");
  }
  if (kind == Kind::kJpeg) return DecodeJpeg(bytes, wanted, part);
  auto decoded = kind == Kind::kPng ? DecodePng(bytes, background) : DecodeWebp(bytes, background);
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return *skip;
  part = {std::move(std::get<Image>(decoded)), 0, 0};
  return std::nullopt;
}

std::variant<Image, Skip> DecodeWhole(std::span<const std::byte> bytes, const Rgb* background,
                                      const DecodeOptions& options) {
  PicturePart part;
  if (const auto skip = Decode(bytes, nullptr, background, options, part)) return *skip;
  return std::move(part.image);
}

}  // namespace

std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options) {
  return ReadAllowedSize(KindOf(bytes), bytes, options);
}

std::int64_t DecodeMemory(std::span<const std::byte> bytes, const DecodeOptions& options) {
  const Kind kind = KindOf(bytes);
  const auto size = ReadAllowedSize(kind, bytes, options);
  if (std::holds_alternative<Skip>(size)) return 0;
  const auto [width, height] = std::get<ImageSize>(size);
  const std::int64_t bytes_a_pixel = kind == Kind::kJpeg ? JpegBytesAPixel(bytes) : 8;
  return bytes_a_pixel * width * height;
}

std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options) {
  return DecodeWhole(bytes, nullptr, options);
}

std::optional<Skip> DecodePart(std::span<const std::byte> bytes, const CropBox& box,
                               const DecodeOptions& options, PicturePart& part) {
  return Decode(bytes, &box, nullptr, options, part);
}

std::variant<Image, Skip> DecodeImageOver(std::span<const std::byte> bytes, const Rgb& background,
                                          const DecodeOptions& options) {
  return DecodeWhole(bytes, &background, options);
}

}  // namespace fastclip
