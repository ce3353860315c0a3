#include "trainer/activation_bytes.h"

#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <memory>

#include "trainer/live_bytes.h"
#include "trainer/towers.h"

namespace fastclip {
namespace {

std::int64_t HeldAfterForward(const ClipModel& model, std::optional<at::ScalarType> autocast,
                              std::int64_t rows) {
  const auto live = std::make_shared<LiveBytes>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
  const ModelConfig& config = model.config();
  const std::int64_t size = config.vision.image_size, context = config.text.context_length;
  const at::TensorOptions like = model.logit_scale().options().requires_grad(false);
  const MicroBatch batch{
      .images = at::rand({rows, 3, size, size}, like).contiguous(at::MemoryFormat::ChannelsLast),
      .tokens = at::zeros({rows, context}, at::kLong),
      .pool = at::full({rows}, context - 1, at::kLong)};
  Towers towers(model, autocast);
  const PerSide<at::Tensor> features = towers.Forward({&batch, 1});
  return live->value();
}

}  // namespace

std::int64_t ActivationBytesPerRow(const ClipModel& model, std::optional<at::ScalarType> autocast) {
  return (HeldAfterForward(model, autocast, 4) - HeldAfterForward(model, autocast, 2)) / 2;
}

}  // namespace fastclip
