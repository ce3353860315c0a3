#include "trainer/state/host_copy.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <vector>

namespace fastclip {
namespace {

// Page-locked memory comes in powers of two: most tensors share a block, which wastes little.
constexpr std::int64_t kBlock = std::int64_t{1} << 26;
constexpr std::int64_t kAligned = 64;

std::vector<at::Tensor*> TensorsOf(CheckpointContent& content) {
  std::vector<at::Tensor*> tensors;
  for (NamedTensors* named : {&content.model, &content.optimizer}) {
    for (auto& [name, tensor] : *named) tensors.push_back(&tensor);
  }
  if (content.state) tensors.push_back(&content.state->values);
  return tensors;
}

std::int64_t BytesFor(const at::Tensor& tensor) {
  return (static_cast<std::int64_t>(tensor.nbytes()) + kAligned - 1) / kAligned * kAligned;
}

}  // namespace

std::optional<CheckpointContent> HostCopy::Of(const CheckpointContent& content) {
  const c10::NoGradGuard no_grad;
  CheckpointContent copy = content;
  const std::vector<at::Tensor*> tensors = TensorsOf(copy);
  const auto on_gpu = std::ranges::find_if(
      tensors, [](const at::Tensor* tensor) { return !tensor->device().is_cpu(); });
  const auto places = Places(tensors, /*pinned=*/on_gpu != tensors.end());
  if (!places) return std::nullopt;

  std::optional<c10::Device> device;
  if (on_gpu != tensors.end()) device = (*on_gpu)->device();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    at::Tensor place = (*places)[i];
    place.copy_(tensors[i]->detach(), /*non_blocking=*/!tensors[i]->device().is_cpu());
    *tensors[i] = place;
  }
  wait_ = {};
  if (device) {
    const auto copied = std::make_shared<c10::Event>(device->type());
    copied->record(c10::impl::VirtualGuardImpl(device->type()).getStream(*device));
    wait_ = [copied] { copied->synchronize(); };
  }
  return copy;
}

std::optional<std::vector<at::Tensor>> HostCopy::Places(const std::vector<at::Tensor*>& tensors,
                                                        bool pinned) {
  if (blocks_.empty()) {
    std::int64_t needed = 0;
    for (const at::Tensor* tensor : tensors) needed += BytesFor(*tensor);
    // An allocation succeeds even if its pages do not exist; the process would be killed later.
    if (const std::int64_t free = free_memory_(); free > 0 && needed > free) return std::nullopt;
  }
  for (Block& block : blocks_) block.used = 0;
  std::vector<at::Tensor> places;
  try {
    for (const at::Tensor* tensor : tensors) places.push_back(PlaceFor(*tensor, pinned));
  } catch (const std::exception&) {  // each allocator has its own
    blocks_.clear();
    return std::nullopt;
  }
  return places;
}

at::Tensor HostCopy::PlaceFor(const at::Tensor& tensor, bool pinned) {
  const std::int64_t bytes = BytesFor(tensor);
  if (bytes == 0) return at::empty(tensor.sizes(), tensor.scalar_type());
  auto block = std::ranges::find_if(
      blocks_, [&](const Block& other) { return other.bytes.numel() - other.used >= bytes; });
  if (block == blocks_.end()) {
    blocks_.push_back(
        {at::empty({std::max(bytes, kBlock)}, at::TensorOptions(at::kByte).pinned_memory(pinned))});
    block = blocks_.end() - 1;
  }
  const std::int64_t first = block->used;
  block->used += bytes;
  return block->bytes.narrow(0, first, static_cast<std::int64_t>(tensor.nbytes()))
      .view(tensor.scalar_type())
      .view(tensor.sizes());
}

}  // namespace fastclip
