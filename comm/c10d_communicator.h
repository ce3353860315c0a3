#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "comm/launch.h"
#include "comm/store.h"
#include "comm/watch.h"

namespace fastclip {

/// c10d's TCPStore, served by rank 0 or by the launcher. Throws CommError with host, port and what
/// to do.
std::unique_ptr<Store> OpenTcpStore(const Launch& launch, std::chrono::milliseconds timeout);

/// c10d's HashStore: a store inside one process, for tests and threads.
std::unique_ptr<Store> MakeLocalStore();

struct ConnectOptions {
  std::string prefix;  ///< keeps this group's keys apart
  int rank = 0;
  int world_size = 1;
  std::chrono::milliseconds timeout{};
  /// The GPU whose tensors use NCCL; call LoadCuda() and UseCudaDevice() first. None: no NCCL.
  std::optional<int> cuda_device{};
  std::string gpu_pci{};   ///< PCI id of this rank's GPU, or empty: RefuseSharedGpus
  Watch* watch = nullptr;  ///< notified of each call; must outlive the communicator
};

/// CPU tensors use c10d's Gloo over a full mesh of connections; GPU tensors use NCCL. `store` comes
/// from one of the functions above. Throws CommError, and what RefuseSharedGpus throws.
std::unique_ptr<Communicator> ConnectRanks(Store& store, const ConnectOptions& options);

}  // namespace fastclip
