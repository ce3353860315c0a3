#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace fastclip {

/// A device for tests of the GPU path without a GPU: LibTorch's PrivateUse1 over host memory.
///
/// Each op runs at once, by its CPU kernel, on aliases of the same storage. What would be wrong on
/// a GPU is wrong here too:
/// - an op that gets tensors of the device and of the CPU throws (0-d CPU tensors may be mixed in);
/// - a non-blocking copy is carried out when its stream, or a stream that waits for its event, is
///   used next. Until then its target holds bytes 0xff: NaN, or an index of -1;
/// - pinned memory is overwritten when it is given back.
/// Waits of the host are counted. There are several devices, since backward passes of one device
/// run in one thread: ranks that are threads need one each.
namespace stand_in {

inline constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
inline constexpr int kDevices = 8;
inline c10::Device Device(int index = 0) { return {kType, static_cast<c10::DeviceIndex>(index)}; }

/// Registers the device in LibTorch, once per process, which from then on computes with one thread.
/// Call it before the first op on it.
void Register();

struct Counts {
  /// Calls of CPU kernels without views and empty tensors: about what a GPU launches. A call over a
  /// list of tensors is one.
  std::int64_t ops = 0;
  std::int64_t host_reads = 0;       ///< waits of the host: item(), copies, nonzero and the like
  std::int64_t blocking_copies = 0;  ///< copies to the device for which the host waited
  std::int64_t late_copies = 0;      ///< non-blocking copies, in both directions
  /// Of these, those to the device on its default stream: carried out behind its ops so far.
  std::int64_t uploads_behind_ops = 0;
  std::int64_t event_waits = 0;  ///< waits of the host for an event
  /// Of these, those for an event behind which no op was enqueued: the device idles after it.
  std::int64_t idle_waits = 0;
};
Counts counts();
/// Counts::ops by name.
std::map<std::string, std::int64_t> OpsByName();
void ResetCounts();

/// After `after` further ops, the next allocation of a tensor of the device throws
/// c10::OutOfMemoryError; later ones do not, since what the caller held is then free. Negative:
/// none does.
void RefuseMemory(std::int64_t after);

/// Whether a call of other ranks has ended.
using CallEnd = std::shared_ptr<std::atomic<bool>>;
/// Enqueues a call of other ranks on the device's current stream; its caller says when it has
/// ended. Ops pass it. Until then a wait of the host for what is behind it, which would not end if
/// a rank were lost, throws std::logic_error.
CallEnd EnqueueCall(c10::Device device);

/// Page-locked memory of the device.
c10::Allocator& PinnedMemory();

}  // namespace stand_in
}  // namespace fastclip
