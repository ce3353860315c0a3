#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace fastclip {

/// Microseconds of serving adapters of one linear map, W [out, in].
struct ServingTimes {
  std::int64_t out = 0, in = 0, columns = 0, rank = 0, rows = 0;
  /// From one adapter in W to another: S²FT restores the columns of the first and sets those of the
  /// second; LoRA computes W₀ + B·A.
  double s2ft_switch = 0, lora_switch = 0;
  /// One batch whose rows belong to four adapters, none of them in W; and without adapters.
  double s2ft_rows = 0, lora_rows = 0, plain_rows = 0;
};

/// Each median of `times`, in turn. `columns` of S²FT, and LoRA of `rank`.
ServingTimes MeasureServing(std::int64_t out, std::int64_t in, std::int64_t columns,
                            std::int64_t rank, std::int64_t rows, int times, at::Device device);

}  // namespace fastclip
