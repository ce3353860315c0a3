#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "comm/gpu_driver.h"
#include "comm/launch.h"
#include "comm/store.h"
#include "comm/watch.h"

namespace fastclip {

struct GroupOptions {
  /// Time for all ranks to join.
  std::chrono::seconds join_timeout{300};
  /// Time for one collective: how far a rank can lag behind the others.
  std::chrono::seconds timeout{120};
  /// Called once a failure can be reported to the other ranks. Returns this rank's GPU, or nothing
  /// to keep tensors on the CPU.
  std::function<std::optional<OwnGpu>()> open_device = [] { return std::nullopt; };
};

/// The ranks of a run, from rendezvous to end. A world of one opens no socket.
class Group {
 public:
  /// Waits for all ranks. `say` gets the missing ranks (rank 0 only). `on_failure` is called on a
  /// thread of the group with the reason why another rank failed; it is expected to end the
  /// process. Throws CommError, SharedError if the ranks' devices do not fit each other, and
  /// std::runtime_error for an invalid environment.
  Group(const Launch& launch, const GroupOptions& options,
        const std::function<void(const std::string&)>& say,
        std::function<void(const std::string&)> on_failure);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  Communicator& comm() { return *comm_; }

  /// Reports this rank's failure to the others and returns the common verdict on which rank failed.
  /// In a world of one it returns `error`. End the process at once afterwards: no destructor must
  /// talk to ranks that are gone.
  std::string Fail(const std::string& error, bool of_others);

  /// The orderly end: waits for all ranks.
  void Leave();

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<Communicator> comm_;
};

}  // namespace fastclip
