#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace fastclip {

/// The device that the checks of device_test.cc compare with the CPU. Each program that has them
/// implements it: device_test by the stand-in, gpu_test by the machine's GPUs.
namespace device_under_test {

/// Prepares the device, before the first use of LibTorch. Returns why it cannot be used: a reason
/// to skip; "" if it can. Throws where the machine has it and it does not work.
std::string Open();
int count();
c10::Device Device(int index = 0);
c10::Allocator& PinnedMemory();

/// How far two runs of the same numbers may be apart in a weight: kernels that add in any order.
double repeat_tolerance();

struct HostWaits {
  std::int64_t reads = 0;  ///< item(), copies to the host, waits for an event and the like
  std::int64_t blocking_copies = 0;  ///< copies to the device
  std::int64_t late_copies = 0;      ///< non-blocking ones
};
void ResetHostWaits();
/// Since the reset; none where the device does not count them.
std::optional<HostWaits> host_waits();

}  // namespace device_under_test
}  // namespace fastclip
