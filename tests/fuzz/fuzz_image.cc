#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "pipeline/pixels/image.h"
#include "pipeline/pixels/resize.h"

using namespace fastclip;

namespace {

// A picture, decoded whole, over a background, scaled down, and where a box lies that its last four
// bytes tell: what is a skip for one is one for all, and the sizes are those of the header.
void Check(const std::uint8_t* data, std::size_t size, const DecodeOptions& options) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto claimed = ReadImageSize(bytes, options);
  const auto whole = DecodeImage(bytes, options);
  const auto over = DecodeImageOver(bytes, {255, 128, 0}, options);
  if (whole.index() != over.index()) __builtin_trap();
  if (std::holds_alternative<Skip>(claimed)) {
    if (!std::holds_alternative<Skip>(whole)) __builtin_trap();
    return;
  }
  const auto [width, height] = std::get<ImageSize>(claimed);
  const auto at = [&](std::size_t from_end, int below) {
    return size < 4 ? 0 : data[size - from_end] * below / 256;
  };
  CropBox box;
  box.left = at(1, width);
  box.top = at(2, height);
  box.width = 1 + at(3, width - box.left);
  box.height = 1 + at(4, height - box.top);
  PicturePart part;
  const auto cause = DecodePart(
      bytes, [&](const ImageSize&) { return box; }, options, part);
  const Skip* skip = std::get_if<Skip>(&whole);
  const auto agrees = [&](const std::optional<Skip>& other) {
    return skip == nullptr ? !other.has_value() : other == *skip;
  };
  if (!agrees(cause)) __builtin_trap();
  std::vector<std::uint8_t> out(3 * 9 * 7);
  DecodeOptions fast = options;
  fast.fast_side = 4;
  PicturePart smaller;
  const auto fast_cause = DecodePart(
      bytes, [&](const ImageSize&) { return box; }, fast, smaller);
  if (!agrees(fast_cause)) __builtin_trap();
  if (skip != nullptr) return;
  ResizeBicubic(smaller.image, smaller.box, 9, 7, out);

  const Image& image = std::get<Image>(whole);
  if (image.width != width || image.height != height) __builtin_trap();
  const auto [top, left, rows, columns] = part.box;
  if (rows != box.height || columns != box.width) __builtin_trap();
  for (int y = 0; y < box.height; ++y) {
    const auto* made = &part.image.pixels[3 * (std::size_t(top + y) * part.image.width + left)];
    const auto* wanted = &image.pixels[3 * (std::size_t(box.top + y) * width + box.left)];
    if (!std::equal(made, made + 3 * box.width, wanted)) __builtin_trap();
  }
  ResizeBicubic(part.image, part.box, 9, 7, out);
  ResizeCenterCrop(image, 4, std::span(out).first(3 * 4 * 4));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  DecodeOptions options{.max_pixels = 1 << 18};
  Check(data, size, options);
  options.formats.Add(PictureFormat::kGif);
  options.formats.Add(PictureFormat::kBmp);
  options.exif_rotate = true;
  Check(data, size, options);
  return 0;
}
