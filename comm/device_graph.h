#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace fastclip {

/// Work of a device that is recorded once and repeated with one launch, on the same memory.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Records what `work` enqueues on the current stream, which must not be the default one; nothing
  /// is carried out. `work` must not wait for the device or copy between host and device. Call it
  /// once. Passes on what `work` throws; the graph cannot be used then.
  virtual void Record(const std::function<void()>& work) = 0;
  /// Enqueues the recorded work on the current stream. REQUIRES: Record() has returned.
  virtual void Replay() = 0;
};

using DeviceGraphMaker = std::unique_ptr<DeviceGraph> (*)();
/// How graphs of a kind of device are made; LoadCuda() says it for GPUs.
void SetDeviceGraphs(c10::DeviceType type, DeviceGraphMaker maker);
/// Null if this kind of device has none.
std::unique_ptr<DeviceGraph> MakeDeviceGraph(c10::DeviceType type);

}  // namespace fastclip
