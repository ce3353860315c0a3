// Included once for each instruction set by Highway, which picks the best at run time. Vectors are
// of a size known here: arm64 goes by NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pipeline/pixels/resize_kernels.cc"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "pipeline/pixels/resize_kernels.h"

// A sum of bytes times 22-bit weights, in 32 bits that wrap as Pillow's do. Instructions multiply
// 16 bits by 16 and add neighbours, so that a weight goes in two halves: Σ p·w = (Σ p·high << 12) +
// Σ p·low, exact in wrapping arithmetic.

HWY_BEFORE_NAMESPACE();
namespace fastclip {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

// A processor without any of the instructions below; also what they are compared with in the tests.

std::int32_t Unsplit(SplitWeights::Pair pair, int which) {
  const int shift = 16 * which;
  const auto high = static_cast<std::int16_t>(pair.high >> shift);
  const auto low = static_cast<std::int16_t>(pair.low >> shift);
  return (std::int32_t{high} << SplitWeights::kLowBits) + low;
}

/// One byte: the bytes `first`, `first` + stride, … weighted.
std::uint8_t WeightedByte(const std::uint8_t* first, std::size_t stride, int count,
                          const SplitWeights::Pair* pairs) {
  std::int32_t sum = std::int32_t{1} << (AxisWeights::kBits - 1);
  for (int i = 0; i < count; ++i) sum += first[i * stride] * Unsplit(pairs[i / 2], i % 2);
  return static_cast<std::uint8_t>(std::clamp(sum >> AxisWeights::kBits, 0, 255));
}

void ScaleRows(const PixelRows& in, int rows, int, const SplitWeights& weights, std::uint8_t* out,
               std::size_t out_stride) {
  for (int row = 0; row < rows; ++row) {
    for (int x = 0; x < weights.size(); ++x) {
      const auto [left, count] = weights.taps[x];
      for (int channel = 0; channel < 3; ++channel) {
        out[row * out_stride + 3 * x + channel] =
            WeightedByte(in.first + row * in.stride + 3 * left + channel, 3, count, weights.of(x));
      }
    }
  }
}

void ScaleColumns(const std::uint8_t* in, std::size_t in_stride, int in_top, std::size_t bytes,
                  const SplitWeights& weights, std::uint8_t* out) {
  for (int y = 0; y < weights.size(); ++y, out += bytes) {
    const auto [top, count] = weights.taps[y];
    const std::uint8_t* first = in + static_cast<std::size_t>(top - in_top) * in_stride;
    for (std::size_t i = 0; i < bytes; ++i) {
      out[i] = WeightedByte(first + i, in_stride, count, weights.of(y));
    }
  }
}

#else

namespace hn = hwy::HWY_NAMESPACE;

/// Sums of one 32-bit lane an output byte.
template <class D32>
class Sums {
 public:
  using V32 = hn::Vec<D32>;
  using D16 = hn::Repartition<std::int16_t, D32>;

  explicit Sums(D32 d)
      : high_(hn::Zero(d)), high_odd_(hn::Zero(d)), low_(hn::Zero(d)), low_odd_(hn::Zero(d)) {}

  /// `pixels`: pairs of bytes, widened; `weights`: the pair of weights of each.
  HWY_INLINE void Add(D32 d, hn::Vec<D16> pixels, V32 high, V32 low) {
    const D16 d16;
    high_ = hn::ReorderWidenMulAccumulate(d, pixels, hn::BitCast(d16, high), high_, high_odd_);
    low_ = hn::ReorderWidenMulAccumulate(d, pixels, hn::BitCast(d16, low), low_, low_odd_);
  }

  /// Rounded and clamped to 0…255.
  HWY_INLINE V32 Bytes(D32 d) const {
    const V32 high = hn::RearrangeToOddPlusEven(high_, high_odd_);
    const V32 low = hn::RearrangeToOddPlusEven(low_, low_odd_);
    const V32 half = hn::Set(d, std::int32_t{1} << (AxisWeights::kBits - 1));
    const V32 sum = hn::Add(hn::ShiftLeft<SplitWeights::kLowBits>(high), hn::Add(low, half));
    return hn::Min(hn::Max(hn::ShiftRight<AxisWeights::kBits>(sum), hn::Zero(d)), hn::Set(d, 255));
  }

 private:
  V32 high_, high_odd_, low_, low_odd_;
};

/// Four vectors of bytes in 32-bit lanes as one of bytes: lane i of `a`, `b`, `c`, `d` side by
/// side.
template <class D32>
HWY_INLINE hn::Vec<hn::Repartition<std::uint8_t, D32> > Zip4(D32, hn::Vec<D32> a, hn::Vec<D32> b,
                                                             hn::Vec<D32> c, hn::Vec<D32> d) {
  const auto ab = hn::Or(a, hn::ShiftLeft<8>(b));
  const auto cd = hn::Or(hn::ShiftLeft<16>(c), hn::ShiftLeft<24>(d));
  return hn::BitCast(hn::Repartition<std::uint8_t, D32>(), hn::Or(ab, cd));
}

constexpr std::size_t kBlock = 16;  // bytes; Highway shuffles inside of these
constexpr std::uint8_t kNone = 0x80;

// What a block of pixels r g b r g b … is turned into: neighbours' channels side by side, widened.
alignas(16) constexpr std::uint8_t kPair0[kBlock] = {
    0, kNone, 3, kNone, 1, kNone, 4, kNone, 2, kNone, 5, kNone, kNone, kNone, kNone, kNone};
alignas(16) constexpr std::uint8_t kPair1[kBlock] = {
    6, kNone, 9, kNone, 7, kNone, 10, kNone, 8, kNone, 11, kNone, kNone, kNone, kNone, kNone};
// Four pixels, zipped, back in their order.
alignas(16) constexpr std::uint8_t kUnzipPixels[kBlock] = {
    0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, kNone, kNone, kNone, kNone};
alignas(16) constexpr std::uint8_t kUnzipBytes[kBlock] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                          2, 6, 10, 14, 3, 7, 11, 15};

template <class D8>
HWY_INLINE hn::Vec<D8> LoadRows(D8 d, const std::uint8_t* row0, const std::uint8_t* row1) {
#if HWY_MAX_BYTES >= 32
  const hn::Half<D8> half;
  return hn::Combine(d, hn::LoadU(half, row1), hn::LoadU(half, row0));
#else
  (void)row1;
  return hn::LoadU(d, row0);
#endif
}

template <class D8>
HWY_INLINE void StoreRows(D8 d, hn::Vec<D8> pixels, std::uint8_t* row0, std::uint8_t* row1) {
#if HWY_MAX_BYTES >= 32
  const hn::Half<D8> half;
  hn::StoreU(hn::LowerHalf(half, pixels), half, row0);
  hn::StoreU(hn::UpperHalf(half, pixels), half, row1);
#else
  (void)row1;
  hn::StoreU(pixels, d, row0);
#endif
}

// A block each of as many rows as a vector holds, two at most.
using RowsTag = hn::CappedTag<std::uint8_t, 2 * kBlock>;
constexpr int kRowsAtOnce = static_cast<int>(hn::MaxLanes(RowsTag()) / kBlock);

void ScaleTwoRows(const std::uint8_t* row0, const std::uint8_t* row1, const SplitWeights& weights,
                  std::uint8_t* out0, std::uint8_t* out1) {
  const RowsTag d8;
  const hn::Repartition<std::int16_t, RowsTag> d16;
  const hn::Repartition<std::int32_t, RowsTag> d32;
  using V32 = hn::Vec<decltype(d32)>;
  const auto pair0 = hn::LoadDup128(d8, kPair0);
  const auto pair1 = hn::LoadDup128(d8, kPair1);
  const auto unzip = hn::LoadDup128(d8, kUnzipPixels);
  const int width = weights.size();
  const int pairs = weights.stride;

  const auto pixel = [&](int x) HWY_ATTR -> V32 {
    const std::size_t offset = std::size_t{3} * weights.taps[x].first;
    const SplitWeights::Pair* weight = weights.of(x);
    Sums sums(d32);
    int pair = 0;
    for (; pair + 2 <= pairs; pair += 2) {
      const auto bytes = LoadRows(d8, row0 + offset + 6 * pair, row1 + offset + 6 * pair);
      sums.Add(d32, hn::BitCast(d16, hn::TableLookupBytesOr0(bytes, pair0)),
               hn::Set(d32, weight[pair].high), hn::Set(d32, weight[pair].low));
      sums.Add(d32, hn::BitCast(d16, hn::TableLookupBytesOr0(bytes, pair1)),
               hn::Set(d32, weight[pair + 1].high), hn::Set(d32, weight[pair + 1].low));
    }
    if (pair < pairs) {
      const auto bytes = LoadRows(d8, row0 + offset + 6 * pair, row1 + offset + 6 * pair);
      sums.Add(d32, hn::BitCast(d16, hn::TableLookupBytesOr0(bytes, pair0)),
               hn::Set(d32, weight[pair].high), hn::Set(d32, weight[pair].low));
    }
    return sums.Bytes(d32);
  };
  for (int x = 0; x < width; x += 4) {
    const int last = width - 1;
    const auto zipped = Zip4(d32, pixel(x), pixel(std::min(x + 1, last)),
                             pixel(std::min(x + 2, last)), pixel(std::min(x + 3, last)));
    StoreRows(d8, hn::TableLookupBytesOr0(zipped, unzip), out0 + 3 * x, out1 + 3 * x);
  }
}

void ScaleRows(const PixelRows& in, int rows, int in_width, const SplitWeights& weights,
               std::uint8_t* out, std::size_t out_stride) {
  const std::size_t bytes = std::size_t{3} * in_width;
  const std::size_t reach = bytes + 6 * static_cast<std::size_t>(weights.stride) + kBlock;
  // Rows so near the memory's end that a vector would reach beyond are copied first.
  thread_local std::vector<std::uint8_t> copies;
  copies.resize(kRowsAtOnce * reach);
  const auto readable = [&](int row, std::size_t slot) {
    const std::uint8_t* first = in.first + row * in.stride;
    if (static_cast<std::size_t>(in.end - first) >= reach) return first;
    std::uint8_t* copy = copies.data() + slot * reach;
    std::memcpy(copy, first, bytes);
    return static_cast<const std::uint8_t*>(copy);
  };
  for (int row = 0; row < rows; row += kRowsAtOnce) {
    // An odd last row is made twice, into the same place.
    const int second = std::min(row + kRowsAtOnce - 1, rows - 1);
    ScaleTwoRows(readable(row, 0), readable(second, kRowsAtOnce - 1), weights,
                 out + row * out_stride, out + second * out_stride);
  }
}

/// Output bytes [at, at + Lanes(D8)) of one row: the input rows `first` + i · stride, weighted.
template <class D8>
HWY_INLINE void ScaleColumnsAt(D8 d8, const std::uint8_t* first, std::size_t stride, int rows,
                               const SplitWeights::Pair* weight, std::uint8_t* out) {
  const hn::Repartition<std::int16_t, D8> d16;
  const hn::Repartition<std::int32_t, D8> d32;
  const auto zero = hn::Zero(d8);
  Sums sums0(d32), sums1(d32), sums2(d32), sums3(d32);
  for (int row = 0; row < rows; row += 2, ++weight) {
    const std::uint8_t* even = first + row * stride;
    const auto a = hn::LoadU(d8, even);
    const auto b = hn::LoadU(d8, row + 1 < rows ? even + stride : even);  // else its weight is 0
    const auto high = hn::Set(d32, weight->high);
    const auto low = hn::Set(d32, weight->low);
    const auto lower = hn::InterleaveLower(d8, a, b);
    const auto upper = hn::InterleaveUpper(d8, a, b);
    sums0.Add(d32, hn::BitCast(d16, hn::InterleaveLower(d8, lower, zero)), high, low);
    sums1.Add(d32, hn::BitCast(d16, hn::InterleaveUpper(d8, lower, zero)), high, low);
    sums2.Add(d32, hn::BitCast(d16, hn::InterleaveLower(d8, upper, zero)), high, low);
    sums3.Add(d32, hn::BitCast(d16, hn::InterleaveUpper(d8, upper, zero)), high, low);
  }
  const auto zipped =
      Zip4(d32, sums0.Bytes(d32), sums1.Bytes(d32), sums2.Bytes(d32), sums3.Bytes(d32));
  hn::StoreU(hn::TableLookupBytes(zipped, hn::LoadDup128(d8, kUnzipBytes)), d8, out);
}

void ScaleColumns(const std::uint8_t* in, std::size_t in_stride, int in_top, std::size_t bytes,
                  const SplitWeights& weights, std::uint8_t* out) {
  const hn::ScalableTag<std::uint8_t> d8;
  const std::size_t lanes = hn::Lanes(d8);
  for (int y = 0; y < weights.size(); ++y, out += bytes) {
    const auto [top, count] = weights.taps[y];
    const std::uint8_t* first = in + static_cast<std::size_t>(top - in_top) * in_stride;
    std::size_t at = 0;
    for (; at + lanes <= bytes; at += lanes) {
      ScaleColumnsAt(d8, first + at, in_stride, count, weights.of(y), out + at);
    }
    if (at == bytes) continue;
    HWY_ALIGN std::uint8_t rest[hn::MaxLanes(d8)];
    ScaleColumnsAt(d8, first + at, in_stride, count, weights.of(y), rest);
    std::memcpy(out + at, rest, bytes - at);
  }
}

#endif  // HWY_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace fastclip
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fastclip {

HWY_EXPORT(ScaleRows);
HWY_EXPORT(ScaleColumns);

void SplitWeights::Split(const AxisWeights& weights) {
  int most = 0;
  for (const auto& tap : weights.taps) most = std::max(most, tap.count);
  stride = (most + 1) / 2;
  taps = weights.taps;
  pairs.assign(taps.size() * stride, {});
  const auto high = [](std::int32_t weight) { return weight >> kLowBits; };
  const auto low = [](std::int32_t weight) { return weight & ((1 << kLowBits) - 1); };
  const auto side_by_side = [](std::int32_t first, std::int32_t second) {
    return static_cast<std::int32_t>((static_cast<std::uint32_t>(second) << 16) | (first & 0xffff));
  };
  for (int pixel = 0; pixel < size(); ++pixel) {
    const std::int32_t* weight = weights.of(pixel);
    Pair* pair = pairs.data() + static_cast<std::size_t>(pixel) * stride;
    for (int tap = 0; tap < taps[pixel].count; tap += 2, ++pair) {
      const std::int32_t second = tap + 1 < taps[pixel].count ? weight[tap + 1] : 0;
      pair->high = side_by_side(high(weight[tap]), high(second));
      pair->low = side_by_side(low(weight[tap]), low(second));
    }
  }
}

void ScaleRows(const PixelRows& in, int rows, int in_width, const SplitWeights& weights,
               std::uint8_t* out, std::size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(ScaleRows)(in, rows, in_width, weights, out, out_stride);
}

void ScaleColumns(const std::uint8_t* in, std::size_t in_stride, int in_top, std::size_t bytes,
                  const SplitWeights& weights, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(ScaleColumns)(in, in_stride, in_top, bytes, weights, out);
}

}  // namespace fastclip
#endif  // HWY_ONCE
