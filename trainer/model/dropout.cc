#include "trainer/model/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

namespace fastclip {
namespace {

constexpr std::uint32_t kFirst = 0x7feb352d, kSecond = 0x846ca68b;  // Wellons' lowbias32

constexpr std::uint32_t Mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * kFirst;
  x = (x ^ (x >> 15)) * kSecond;
  return x ^ (x >> 16);
}

// The same on a device: 32-bit words in int64.
at::Tensor Mixed(at::Tensor x) {
  constexpr std::int64_t first = kFirst, second = kSecond, word = 0xffffffff;
  x = x.bitwise_xor(x.bitwise_right_shift(16)).mul_(first).bitwise_and_(word);
  x = x.bitwise_xor(x.bitwise_right_shift(15)).mul_(second).bitwise_and_(word);
  return x.bitwise_xor(x.bitwise_right_shift(16));
}

}  // namespace

at::Tensor Dropped(const at::Tensor& x, double p, std::uint64_t key) {
  const auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  const auto least = static_cast<std::int64_t>(std::ldexp(p, 32));
  at::Tensor kept;
  if (x.is_cpu()) {
    kept = at::empty(x.sizes(), at::kBool);
    bool* out = kept.mutable_data_ptr<bool>();
    at::parallel_for(0, kept.numel(), 1 << 14, [=](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        out[i] = Mixed(Mixed(static_cast<std::uint32_t>(i) ^ low) ^ high) >= least;
      }
    });
  } else {
    const at::Tensor numbers = at::arange(x.numel(), x.options().dtype(at::kLong));
    const std::int64_t first = low, second = high;
    kept = Mixed(Mixed(numbers.bitwise_xor(first)).bitwise_xor(second)).ge(least).view(x.sizes());
  }
  return x * kept.to(x.scalar_type()).mul_(1 / (1 - p));
}

}  // namespace fastclip
