#pragma once

#include <exception>
#include <optional>

#include "comm/gpu_driver.h"
#include "comm/launch.h"
#include "trainer/config/config.h"

namespace fastclip {

/// This host as a rank of it sees it: what a config's "auto" and 0 mean.
HostOfRun ThisHost(int ranks, int local_rank = 0);
HostOfRun ThisHost(const Launch& launch);

/// The GPU of a rank, if its config wants one.
class RankDevice {
 public:
  /// Loads CUDA, before anything else of LibTorch, which looks for it once. What fails is told by
  /// Open(): the other ranks are to hear of it. `config` must outlive it.
  explicit RankDevice(const LoadedConfig& config);

  /// Makes the GPU the current device and pins the rank to its cores. Call it before threads start
  /// that are to run there. Warns if other processes take much of the GPU. Throws
  /// std::runtime_error that says what to do.
  std::optional<OwnGpu> Open(const Launch& launch) const;
  /// Checks that so many ranks that see the same GPUs can have one each. Throws std::runtime_error.
  void Check(int ranks) const;

 private:
  const LoadedConfig& config_;
  std::exception_ptr failure_;
};

}  // namespace fastclip
