#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "pipeline/files/system_memory.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// Host memory for a copy of a checkpoint's tensors: taken at the first copy, and used again for
/// each later one.
class HostCopy {
 public:
  using FreeMemory = std::function<std::int64_t()>;
  /// `free_memory`: bytes that may be taken; 0: unknown.
  explicit HostCopy(FreeMemory free_memory = AvailableMemory)
      : free_memory_(std::move(free_memory)) {}

  /// Copies the tensors, over those of the copy before; nothing if there is not enough memory. From
  /// a GPU it copies into page-locked memory without a wait of the host: work that the GPU is given
  /// later does not change the copy, but it is there only after Wait().
  std::optional<CheckpointContent> Of(const CheckpointContent& content);
  /// Waits until the last copy is there. Any thread may call it, but not during Of().
  void Wait() const {
    if (wait_) wait_();
  }

 private:
  struct Block {
    at::Tensor bytes;
    std::int64_t used = 0;
  };
  /// Nothing if there is not enough memory.
  std::optional<std::vector<at::Tensor>> Places(const std::vector<at::Tensor*>& tensors,
                                                bool pinned);
  at::Tensor PlaceFor(const at::Tensor& tensor, bool pinned);

  FreeMemory free_memory_;
  std::vector<Block> blocks_;
  std::function<void()> wait_;
};

}  // namespace fastclip
