#pragma once

#include "comm/device_graph.h"

namespace fastclip {

/// A CUDA graph; the caller owns it. For libfastclip_nccl.so alone.
DeviceGraph* MakeCudaGraph();

}  // namespace fastclip
