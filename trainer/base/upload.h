#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <optional>

namespace fastclip {

/// A stream of its own for Uploaded(). Nothing on the CPU.
std::optional<c10::Stream> StreamForCopies(c10::Device device);

/// A copy of `host` on `device`, to be used on its current stream; the same tensor on the CPU, or
/// if it is undefined. A GPU copies on `copies`, while it still computes what was enqueued before;
/// without it, behind that. `non_blocking`: the host does not wait, so `host` must live until the
/// copy is made.
at::Tensor Uploaded(const at::Tensor& host, c10::Device device, bool non_blocking,
                    const std::optional<c10::Stream>& copies);

}  // namespace fastclip
