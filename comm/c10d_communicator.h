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

/// c10d's TCPStore: served by rank 0, or by the launcher. Throws CommError that names host and port
/// and says what to do.
std::unique_ptr<Store> OpenTcpStore(const Launch& launch, std::chrono::milliseconds timeout);

/// Values of one process, for tests and threads: c10d's HashStore.
std::unique_ptr<Store> MakeLocalStore();

/// Throws std::runtime_error where GLOO_SOCKET_IFNAME names an interface that this host does not
/// have up: c10d only says that it found no address.
void CheckInterfaces();

struct ConnectOptions {
  std::string prefix;  ///< keeps this group's keys apart
  int rank = 0;
  int world_size = 1;
  std::chrono::milliseconds timeout{};
  /// The GPU whose tensors go over NCCL; LoadCuda() and UseCudaDevice() came before. None: no NCCL.
  std::optional<int> cuda_device{};
  Watch* watch = nullptr;  ///< hears of each call; must outlive the communicator
};

/// Tensors on the CPU go over c10d's Gloo, a full mesh of connections, those on a GPU over NCCL.
/// `store` is one of those above. Throws CommError.
std::unique_ptr<Communicator> ConnectRanks(Store& store, const ConnectOptions& options);

}  // namespace fastclip
