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

Skip NoPicture(std::span<const std::byte> bytes) {
  return bytes.size() < kLongestSignature ? Skip::kTruncated : Skip::kUndecodable;
}

std::optional<Skip> RefuseSize(const ImageSize& size, const DecodeOptions& options) {
  if (size.width <= 0 || size.height <= 0) return Skip::kUndecodable;
  if (std::int64_t{size.width} * size.height > options.max_pixels) return Skip::kTooLarge;
  return std::nullopt;
}

/// What the header tells, as far as a picture may be so.
struct Header {
  ImageSize size;
  int bytes_a_pixel = 0;  // that decoding takes
};

std::variant<Header, Skip> ReadHeader(Kind kind, std::span<const std::byte> bytes,
                                      const DecodeOptions& options) {
  constexpr int kPixelsAndCanvas = 8;
  Header header{.size = {}, .bytes_a_pixel = kPixelsAndCanvas};
  if (kind == Kind::kNone) return NoPicture(bytes);
  if (kind == Kind::kJpeg) {
    const auto jpeg = ReadJpegHeader(bytes);
    if (const Skip* skip = std::get_if<Skip>(&jpeg)) return *skip;
    header = {std::get<JpegHeader>(jpeg).size, std::get<JpegHeader>(jpeg).bytes_a_pixel};
  } else {
    const auto size = kind == Kind::kPng ? ReadPngSize(bytes) : ReadWebpSize(bytes);
    if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
    header.size = std::get<ImageSize>(size);
  }
  if (const auto cause = RefuseSize(header.size, options)) return *cause;
  return header;
}

CropBox Whole(const ImageSize& size) { return {0, 0, size.height, size.width}; }

bool Inside(const CropBox& box, const ImageSize& size) {
  return box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0 &&
         box.width <= size.width - box.left && box.height <= size.height - box.top;
}

/// A JPEG's header is read once: it costs as much as some thousand pixels.
std::optional<Skip> Decode(std::span<const std::byte> bytes, const ChooseBox& choose,
                           const Rgb* background, const DecodeOptions& options, PicturePart& part) {
  const auto wanted = [&](const ImageSize& size) -> std::variant<CropBox, Skip> {
    if (const auto cause = RefuseSize(size, options)) return *cause;
    const CropBox box = choose(size);
    if (Inside(box, size)) return box;
    throw std::invalid_argument("DecodePart: a box that is not inside of the picture");
  };
  const Kind kind = KindOf(bytes);
  if (kind == Kind::kJpeg) return DecodeJpeg(bytes, wanted, part);
  const auto header = ReadHeader(kind, bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&header)) return *skip;
  const auto box = wanted(std::get<Header>(header).size);
  auto decoded = kind == Kind::kPng ? DecodePng(bytes, background) : DecodeWebp(bytes, background);
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return *skip;
  part = {std::move(std::get<Image>(decoded)), std::get<CropBox>(box)};
  return std::nullopt;
}

std::variant<Image, Skip> DecodeWhole(std::span<const std::byte> bytes, const Rgb* background,
                                      const DecodeOptions& options) {
  PicturePart part;
  if (const auto skip = Decode(bytes, Whole, background, options, part)) return *skip;
  return std::move(part.image);
}

}  // namespace

std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options) {
  const auto header = ReadHeader(KindOf(bytes), bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&header)) return *skip;
  return std::get<Header>(header).size;
}

std::int64_t DecodeMemory(std::span<const std::byte> bytes, const DecodeOptions& options) {
  const auto header = ReadHeader(KindOf(bytes), bytes, options);
  if (std::holds_alternative<Skip>(header)) return 0;
  const auto& [size, bytes_a_pixel] = std::get<Header>(header);
  return std::int64_t{bytes_a_pixel} * size.width * size.height;
}

std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options) {
  return DecodeWhole(bytes, nullptr, options);
}

std::optional<Skip> DecodePart(std::span<const std::byte> bytes, const ChooseBox& choose,
                               const DecodeOptions& options, PicturePart& part) {
  return Decode(bytes, choose, nullptr, options, part);
}

std::variant<Image, Skip> DecodeImageOver(std::span<const std::byte> bytes, const Rgb& background,
                                          const DecodeOptions& options) {
  return DecodeWhole(bytes, &background, options);
}

}  // namespace fastclip
