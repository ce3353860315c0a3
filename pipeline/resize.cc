#include "pipeline/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <stdexcept>

#include "pipeline/image.h"
#include "pipeline/resize_kernels.h"

namespace fastclip {
namespace {

constexpr double kSupport = 2;  // of the bicubic filter, in pixels

double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

std::int32_t ToFixed(double weight) {
  const double scaled = weight * (1 << AxisWeights::kBits);
  return static_cast<std::int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

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
        fmt::format("resize to {} x {}: {} bytes given for it", width, height, out.size()));
  }
}

void CheckBox(const Image& image, const CropBox& box) {
  if (image.pixels.size() != std::size_t{3} * image.width * image.height || box.width < 1 ||
      box.height < 1 || box.left < 0 || box.top < 0 || box.width > image.width - box.left ||
      box.height > image.height - box.top) {
    throw std::invalid_argument(fmt::format("resize: box {} x {} at {}, {} of a picture of {} x {}",
                                            box.width, box.height, box.left, box.top, image.width,
                                            image.height));
  }
}

}  // namespace

void AxisWeights::Compute(int in, std::int64_t out, std::int64_t first, int count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.resize(count);
  weights.resize(static_cast<std::size_t>(count) * stride);
  thread_local std::vector<double> exact;
  exact.resize(stride);
  const double shrink = 1.0 / filter_scale;
  for (int pixel = 0; pixel < count; ++pixel) {
    const double center = (static_cast<double>(first + pixel) + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), in);
    double sum = 0;
    for (int x = begin; x < end; ++x) {
      exact[x - begin] = Bicubic((x - center + 0.5) * shrink);
      sum += exact[x - begin];
    }
    std::int32_t* fixed = weights.data() + static_cast<std::size_t>(pixel) * stride;
    for (int x = 0; x < end - begin; ++x) {
      fixed[x] = ToFixed(sum != 0 ? exact[x] / sum : exact[x]);
    }
    taps[pixel] = {begin, end - begin};
  }
}

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
