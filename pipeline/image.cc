#include "pipeline/image.h"

#include <algorithm>
#include <array>

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

std::variant<Image, Skip> Decode(std::span<const std::byte> bytes, const Rgb* background,
                                 const DecodeOptions& options) {
  const Kind kind = KindOf(bytes);
  const auto size = ReadAllowedSize(kind, bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
  if (kind == Kind::kJpeg) return DecodeJpeg(bytes);
  return kind == Kind::kPng ? DecodePng(bytes, background) : DecodeWebp(bytes, background);
}

}  // namespace

std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options) {
  return ReadAllowedSize(KindOf(bytes), bytes, options);
}

std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options) {
  return Decode(bytes, nullptr, options);
}

std::variant<Image, Skip> DecodeImageOver(std::span<const std::byte> bytes, const Rgb& background,
                                          const DecodeOptions& options) {
  return Decode(bytes, &background, options);
}

}  // namespace fastclip
