#include "tools/bench/adapter_serving.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "tools/cli/measure.h"
#include "trainer/adapt/s2ft.h"

namespace fastclip {
namespace {

constexpr std::size_t kAdapters = 4;

struct Lora {
  at::Tensor a, b;  // [r, in], [out, r]
};

/// Of each of `works` in turn, as often as said; a GPU is done with it when its time ends.
std::vector<double> MedianMicroseconds(const std::vector<std::function<void(int)>>& works,
                                       int times, const at::Tensor& result) {
  std::vector<std::vector<double>> seconds(works.size());
  for (int i = 0; i <= times; ++i) {
    for (std::size_t k = 0; k < works.size(); ++k) {
      const double begin = SecondsOf(CLOCK_MONOTONIC);
      works[k](i);
      if (!result.is_cpu()) result.view(-1)[0].item<float>();
      if (i > 0) seconds[k].push_back(SecondsOf(CLOCK_MONOTONIC) - begin);  // the first allocates
    }
  }
  std::vector<double> medians;
  for (const auto& of : seconds) medians.push_back(1e6 * Quantile(of, 0.5));
  return medians;
}

}  // namespace

ServingTimes MeasureServing(std::int64_t out, std::int64_t in, std::int64_t columns,
                            std::int64_t rank, std::int64_t rows, int times, at::Device device) {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions(at::kFloat).device(device);
  const at::Tensor base = at::randn({out, in}, options), weight = base.clone();
  std::vector<ColumnDelta> deltas;
  std::vector<at::Tensor> values;
  std::vector<Lora> loras;
  std::vector<ServedRows> served;
  const std::int64_t each = std::max<std::int64_t>(rows / static_cast<std::int64_t>(kAdapters), 1);
  for (std::size_t i = 0; i < kAdapters; ++i) {
    const auto index =
        std::get<0>(at::randperm(in, at::TensorOptions(at::kLong)).narrow(0, 0, columns).sort());
    deltas.push_back({index.to(device), at::randn({out, columns}, options)});
    values.push_back(base.index_select(1, deltas.back().index) + deltas.back().delta);
    loras.push_back({at::randn({rank, in}, options), at::randn({out, rank}, options)});
    served.push_back({static_cast<std::int64_t>(i) * each, each, deltas.back()});
  }
  MountedColumns mounted;
  const std::vector<double> switches =
      MedianMicroseconds({[&](int i) {
                            const std::size_t next = static_cast<std::size_t>(i) % kAdapters;
                            mounted.Restore();
                            mounted.Set(weight, deltas[next].index, values[next]);
                          },
                          [&](int i) {
                            const Lora& next = loras[static_cast<std::size_t>(i) % kAdapters];
                            at::Tensor merged = weight;
                            at::addmm_out(merged, base, next.b, next.a);
                          }},
                         times, weight);

  const at::Tensor x = at::randn({each * static_cast<std::int64_t>(kAdapters), in}, options);
  at::Tensor y = at::mm(x, base.t());
  const std::vector<double> batches = MedianMicroseconds(
      {[&](int) {
         at::mm_out(y, x, base.t());
         AddServed(y, x, served);
       },
       [&](int) {
         at::mm_out(y, x, base.t());
         for (std::size_t i = 0; i < kAdapters; ++i) {
           const auto first = static_cast<std::int64_t>(i) * each;
           y.narrow(0, first, each)
               .addmm_(x.narrow(0, first, each).mm(loras[i].a.t()), loras[i].b.t());
         }
       },
       [&](int) { at::mm_out(y, x, base.t()); }},
      times, y);
  return {.out = out,
          .in = in,
          .columns = columns,
          .rank = rank,
          .rows = x.size(0),
          .s2ft_switch = switches[0],
          .lora_switch = switches[1],
          .s2ft_rows = batches[0],
          .lora_rows = batches[1],
          .plain_rows = batches[2]};
}

}  // namespace fastclip
