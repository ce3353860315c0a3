#include "trainer/optim/grad_scaler.h"

#include <ATen/ATen.h>

namespace fastclip {

GradScaler::GradScaler(at::Device device)
    : scale_(at::full({}, kStart, at::TensorOptions(at::kDouble).device(device))),
      good_steps_(at::zeros({}, at::TensorOptions(at::kLong).device(device))) {}

at::Tensor GradScaler::scale() const { return scale_.clone(); }

at::Tensor GradScaler::Update(const at::Tensor& refused) {
  const at::Tensor shrinks = refused.logical_and(scale_.gt(1));
  const at::Tensor good = good_steps_ + 1;
  const at::Tensor grows = good.ge(kGrowthInterval).logical_and_(refused.logical_not());
  scale_.copy_(at::where(shrinks, scale_ / 2, at::where(grows, scale_ * 2, scale_)));
  good_steps_.copy_(good.masked_fill(refused.logical_or(grows), 0));
  return shrinks;
}

GradScaler::State GradScaler::state() const {
  return {scale_.item<double>(), good_steps_.item<std::int64_t>()};
}

void GradScaler::Set(const State& state) {
  scale_.fill_(state.scale);
  good_steps_.fill_(state.good_steps);
}

}  // namespace fastclip
