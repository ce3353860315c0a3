#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/store.h"

namespace fastclip {

/// A rank's report when a run fails.
struct RankStatus {
  std::int64_t step = 0;
  std::int64_t calls = 0;  ///< collectives started
  std::string call;        ///< the current collective; empty: it computes, reads or writes
  double seconds = 0;      ///< in that call, or since the last
  std::string error;       ///< its own error; empty: another rank failed
  bool of_others = false;  ///< whether its error is a CommError: another rank failed
  std::string host;
};

/// Which rank failed, in one sentence. `statuses` has one entry per rank, empty if it did not
/// answer. `step` is that of the asking rank.
std::string Verdict(const std::vector<std::optional<RankStatus>>& statuses, std::int64_t step);

/// Watches the other ranks: a thread polls the store. A collective only shows that some rank is
/// missing, and only to ranks that wait in it. Here every rank reports what it was doing, so that
/// all can name the rank that was killed, hangs or failed.
///
/// The first rank that fails collects the reports and publishes one verdict, which all ranks print.
/// Each rank makes only a few store calls for that, for any number of ranks.
///
/// Only that thread calls the store, because c10d waits forever for a host that hangs. Other
/// threads wait for it only while the store answers.
class Watch {
 public:
  /// `prefix` keeps this start's keys apart. `on_failure` is called once, on the watching thread,
  /// with the verdict on another rank's failure; it should end the process.
  Watch(std::unique_ptr<Store> store, std::string prefix, int rank, int world_size,
        std::string host, std::function<void(const std::string&)> on_failure);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Call these three from the training thread only.
  void AtStep(std::int64_t step);
  void BeginCall(const char* name);
  void EndCall();

  /// Reports this rank's error, collects what the others were doing, and returns the verdict within
  /// seconds. If the watching thread is already ending the process, this waits for it.
  std::string Fail(const std::string& error, bool of_others);
  /// Stops watching: from here on a rank that is gone has finished.
  void Retire();

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's too
};

}  // namespace fastclip
