#include "pipeline/pixels/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <stdexcept>

#include "pipeline/pixels/axis_weights.h"
#include "pipeline/pixels/resize_kernels.h"

namespace fastclip {
namespace {

/// A resize's memory, kept by each thread so that a picture allocates nothing.
struct Scratch {
  AxisWeights weights;
  SplitWeights horizontal;
  SplitWeights vertical;
  std::vector<std::uint8_t> rows;
};

/// What of a scaled axis is wanted.
struct Axis {
  std::int64_t size = 0;
  std::int64_t first = 0;
};

/// The box scaled to columns.size × rows.size, of which width × height from the first are wanted.
/// Horizontally first, into bytes, and only the rows that the vertical pass reads: Pillow's order.
void Scale(const Image& image, const CropBox& box, const Axis& columns, int width, const Axis& rows,
           int height, std::uint8_t* out) {
  const std::size_t stride = std::size_t{3} * image.width;
  const std::uint8_t* corner = image.pixels.data() + box.top * stride + std::size_t{3} * box.left;
  const std::size_t out_stride = std::size_t{3} * width;
  if (columns.size == box.width && rows.size == box.height) {
    corner += rows.first * stride + std::size_t{3} * columns.first;
    for (int y = 0; y < height; ++y) {
      std::memcpy(out + y * out_stride, corner + y * stride, out_stride);
    }
    return;
  }
  thread_local Scratch scratch;
  scratch.weights.Compute(box.width, columns.size, columns.first, width);
  scratch.horizontal.Split(scratch.weights);
  scratch.weights.Compute(box.height, rows.size, rows.first, height);
  scratch.vertical.Split(scratch.weights);
  const int top = scratch.vertical.taps.front().first;
  const int bottom = scratch.vertical.taps.back().first + scratch.vertical.taps.back().count;
  const std::size_t scaled_stride = out_stride + kRowPadding;
  scratch.rows.resize((bottom - top) * scaled_stride);
  ScaleRows({corner + top * stride, stride, image.pixels.data() + image.pixels.size()},
            bottom - top, box.width, scratch.horizontal, scratch.rows.data(), scaled_stride);
  ScaleColumns(scratch.rows.data(), scaled_stride, top, out_stride, scratch.vertical, out);
}

void CheckOut(std::span<const std::uint8_t> out, int width, int height) {
  if (width < 1 || height < 1 || out.size() != std::size_t{3} * width * height) {
    throw std::invalid_argument(
        fmt::format("resize to {} x {}: the output has {} bytes", width, height, out.size()));
  }
}

void CheckBox(const Image& image, const CropBox& box) {
  if (image.pixels.size() != std::size_t{3} * image.width * image.height || box.width < 1 ||
      box.height < 1 || box.left < 0 || box.top < 0 || box.width > image.width - box.left ||
      box.height > image.height - box.top) {
    throw std::invalid_argument(
        fmt::format("resize: box {} x {} at {}, {} is not inside the image of {} x {}", box.width,
                    box.height, box.left, box.top, image.width, image.height));
  }
}

}  // namespace

void ResizeBicubic(const Image& image, const CropBox& box, int width, int height,
                   std::span<std::uint8_t> out) {
  CheckOut(out, width, height);
  CheckBox(image, box);
  Scale(image, box, {width, 0}, width, {height, 0}, height, out.data());
}

void ResizeCenterCrop(const Image& image, int size, std::span<std::uint8_t> out) {
  CheckOut(out, size, size);
  const CropBox whole{0, 0, image.height, image.width};
  CheckBox(image, whole);
  // The longer side is cut down to whole pixels; half a pixel of margin goes to the even number.
  const auto axis = [size](int side, int shorter) {
    const std::int64_t scaled = std::int64_t{size} * side / shorter;
    return Axis{scaled, static_cast<std::int64_t>(std::nearbyint((scaled - size) / 2.0))};
  };
  const int shorter = std::min(image.width, image.height);
  Scale(image, whole, axis(image.width, shorter), size, axis(image.height, shorter), size,
        out.data());
}

}  // namespace fastclip
