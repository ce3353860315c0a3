#include "pipeline/pixels/axis_weights.h"

#include <algorithm>
#include <cmath>

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

}  // namespace fastclip
