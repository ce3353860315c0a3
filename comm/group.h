#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "comm/launch.h"
#include "comm/store.h"
#include "comm/watch.h"

namespace fastclip {

struct GroupOptions {
  /// For all ranks to be there.
  std::chrono::seconds join_timeout{300};
  /// For one collective: what a rank may lag behind the others.
  std::chrono::seconds timeout{120};
  /// What else can fail on one rank alone, once the others can hear of it; returns the GPU of this
  /// rank, or nothing: tensors stay on the CPU then.
  std::function<std::optional<int>()> open_device = [] { return std::nullopt; };
};

/// The ranks of a run, from their meeting to their end. A world of one opens no socket.
class Group {
 public:
  /// Waits for all ranks. `say` hears who is missing (rank 0 only). `on_failure` is called, on a
  /// thread of the group, with what became of another rank; it is expected to end the process.
  /// Throws CommError, and std::runtime_error where the environment names what is not there.
  Group(const Launch& launch, const GroupOptions& options,
        const std::function<void(const std::string&)>& say,
        std::function<void(const std::string&)> on_failure);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  Communicator& comm() { return *comm_; }

  /// Tells the others that this rank failed, and returns who is to blame in the end, as far as the
  /// ranks could find out together. Nothing is said to the others, nor asked, in a world of one.
  /// After it the process is to end at once: no destructor may talk to ranks that are gone.
  std::string Fail(const std::string& error, bool of_others);

  /// The orderly end: waits for all ranks.
  void Leave();

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<Communicator> comm_;
};

}  // namespace fastclip
