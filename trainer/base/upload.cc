#include "trainer/base/upload.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace fastclip {

std::optional<c10::Stream> StreamForCopies(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

at::Tensor Uploaded(const at::Tensor& host, c10::Device device, bool non_blocking,
                    const std::optional<c10::Stream>& copies) {
  if (device.is_cpu() || !host.defined()) return host;
  const auto upload = [&] { return host.to(device, host.scalar_type(), non_blocking); };
  if (!copies) return upload();
  const c10::Stream compute = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  at::Tensor copy;
  {
    const c10::StreamGuard on_copies(*copies);
    copy = upload();
  }
  c10::Event done(device.type());
  done.record(*copies);
  done.block(compute);
  copy.record_stream(compute);  // its memory is the other stream's
  return copy;
}

}  // namespace fastclip
