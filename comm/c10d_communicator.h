#pragma once

#include <chrono>
#include <memory>
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

/// c10d's Gloo over a full mesh of connections: for tensors on the CPU. `store` is one of those
/// above; `prefix` keeps this group's keys apart. `watch`, if given, must outlive the communicator
/// and hears of each call. Throws CommError, naming the interface where that is at fault.
std::unique_ptr<Communicator> ConnectGloo(Store& store, const std::string& prefix, int rank,
                                          int world_size, std::chrono::milliseconds timeout,
                                          Watch* watch);

}  // namespace fastclip
