#include "comm/device_graph.h"

#include <map>
#include <mutex>

namespace fastclip {
namespace {

struct Makers {
  std::mutex mutex;
  std::map<c10::DeviceType, DeviceGraphMaker> by_type;
};

Makers& AllMakers() {
  static Makers makers;
  return makers;
}

}  // namespace

void SetDeviceGraphs(c10::DeviceType type, DeviceGraphMaker maker) {
  Makers& makers = AllMakers();
  const std::lock_guard lock(makers.mutex);
  makers.by_type[type] = maker;
}

std::unique_ptr<DeviceGraph> MakeDeviceGraph(c10::DeviceType type) {
  Makers& makers = AllMakers();
  const std::lock_guard lock(makers.mutex);
  const auto found = makers.by_type.find(type);
  return found == makers.by_type.end() ? nullptr : found->second();
}

}  // namespace fastclip
