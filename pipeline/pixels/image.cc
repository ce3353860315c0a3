#include "pipeline/pixels/image.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/pixels/exif.h"
#include "pipeline/pixels/jpeg.h"
#include "pipeline/pixels/picture_codec.h"

namespace fastclip {
namespace {

using Bytes = std::span<const std::byte>;

/// JPEG's header tells more than the size, and its parts are decoded alone.
constexpr PictureCodec kJpegCodec = {PictureFormat::kJpeg, LooksLikeJpeg, nullptr, nullptr};

constexpr const PictureCodec* kCodecs[] = {&kJpegCodec, &kPngCodec, &kWebpCodec, &kGifCodec,
                                           &kBmpCodec};

/// Null where it is no picture, or none that was asked for.
const PictureCodec* CodecOf(Bytes bytes, const DecodeOptions& options) {
  for (const PictureCodec* codec : kCodecs) {
    if (codec->looks_like(bytes)) return options.formats.Has(codec->format) ? codec : nullptr;
  }
  return nullptr;
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
  ImageSize size;         // as it is stored
  int bytes_a_pixel = 0;  // that decoding takes
  Orientation orientation = kUpright;
};

Orientation OrientationOf(const PictureCodec& codec, Bytes bytes, const DecodeOptions& options) {
  const bool read = options.exif_rotate && codec.find_exif != nullptr;
  return read ? ReadOrientation(codec.find_exif(bytes)) : kUpright;
}

std::variant<Header, Skip> ReadHeader(Bytes bytes, const DecodeOptions& options) {
  constexpr int kPixelsAndCanvas = 8, kPixels = 3;
  Header header;
  const PictureCodec* codec = CodecOf(bytes, options);
  if (codec == nullptr) return NoPicture(bytes);
  if (codec->format == PictureFormat::kJpeg) {
    const auto read = ReadJpegHeader(bytes, options.exif_rotate);
    if (const Skip* skip = std::get_if<Skip>(&read)) return *skip;
    const JpegHeader& jpeg = std::get<JpegHeader>(read);
    header = {jpeg.size, jpeg.bytes_a_pixel, ReadOrientation(jpeg.exif)};
  } else {
    const auto size = codec->read_size(bytes);
    if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
    header = {std::get<ImageSize>(size), kPixelsAndCanvas, OrientationOf(*codec, bytes, options)};
  }
  if (const auto cause = RefuseSize(header.size, options)) return *cause;
  if (header.orientation != kUpright) header.bytes_a_pixel += kPixels;  // turned into others
  return header;
}

CropBox Whole(const ImageSize& size) { return {0, 0, size.height, size.width}; }

bool Inside(const CropBox& box, const ImageSize& size) {
  return box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0 &&
         box.width <= size.width - box.left && box.height <= size.height - box.top;
}

/// The largest power of two that leaves `side` pixels on both sides of the box.
int ShrinkOf(const CropBox& box, int side) {
  int shrink = 1;
  while (side > 0 && shrink < 8 && std::min(box.width, box.height) / (2 * shrink) >= side) {
    shrink *= 2;
  }
  return shrink;
}

/// A JPEG's header is read once: it costs as much as some thousand pixels.
std::optional<Skip> Decode(Bytes bytes, const ChooseBox& choose, const Rgb* background,
                           const DecodeOptions& options, PicturePart& part) {
  Orientation orientation = kUpright;
  const auto wanted = [&](const ImageSize& stored) -> std::variant<CropBox, Skip> {
    if (const auto cause = RefuseSize(stored, options)) return *cause;
    const ImageSize shown = ShownSize(stored, orientation);
    const CropBox box = choose(shown);
    if (Inside(box, shown)) return StoredBox(box, stored, orientation);
    throw std::invalid_argument("DecodePart: the box is not inside the image");
  };
  const PictureCodec* codec = CodecOf(bytes, options);
  if (codec == nullptr) return NoPicture(bytes);
  if (codec->format == PictureFormat::kJpeg) {
    const auto wish = [&](const JpegHeader& header) -> std::variant<JpegWish, Skip> {
      orientation = ReadOrientation(header.exif);
      const auto box = wanted(header.size);
      if (const Skip* skip = std::get_if<Skip>(&box)) return *skip;
      const CropBox& stored = std::get<CropBox>(box);
      return JpegWish{stored, ShrinkOf(stored, options.fast_side)};
    };
    if (const auto cause = DecodeJpeg(bytes, options.exif_rotate, wish, part)) return cause;
  } else {
    const auto size = codec->read_size(bytes);
    if (const Skip* skip = std::get_if<Skip>(&size)) return *skip;
    orientation = OrientationOf(*codec, bytes, options);
    const auto box = wanted(std::get<ImageSize>(size));
    if (const Skip* skip = std::get_if<Skip>(&box)) return *skip;
    auto decoded = codec->decode(bytes, background);
    if (const Skip* skip = std::get_if<Skip>(&decoded)) return *skip;
    part = {std::move(std::get<Image>(decoded)), std::get<CropBox>(box)};
  }
  if (orientation != kUpright) TurnPart(orientation, part);
  return std::nullopt;
}

std::variant<Image, Skip> DecodeWhole(Bytes bytes, const Rgb* background, DecodeOptions options) {
  options.fast_side = 0;
  PicturePart part;
  if (const auto skip = Decode(bytes, Whole, background, options, part)) return *skip;
  return std::move(part.image);
}

}  // namespace

std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options) {
  const auto header = ReadHeader(bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&header)) return *skip;
  const Header& found = std::get<Header>(header);
  return ShownSize(found.size, found.orientation);
}

std::int64_t DecodeMemory(std::span<const std::byte> bytes, const DecodeOptions& options) {
  const auto header = ReadHeader(bytes, options);
  if (std::holds_alternative<Skip>(header)) return 0;
  const auto& [size, bytes_a_pixel, orientation] = std::get<Header>(header);
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
