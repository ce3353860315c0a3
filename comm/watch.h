#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/store.h"

namespace fastclip {

/// What a rank tells when a run fails.
struct RankStatus {
  std::int64_t step = 0;
  std::int64_t calls = 0;  ///< collectives begun
  std::string call;        ///< the one under way; empty: it computes, reads or writes
  double seconds = 0;      ///< in that call, or since the last
  std::string error;       ///< its own; empty: it only heard of another's
  bool of_others = false;  ///< whether its error is a CommError: another rank's doing
  std::string host;
};

/// Who is to blame, in one sentence. `statuses` has a place a rank; nothing where a rank did not
/// answer. `step` is the asking rank's.
std::string Verdict(const std::vector<std::optional<RankStatus>>& statuses, std::int64_t step);

/// Each rank's eye on the others: a thread that looks into the store. A collective tells only that
/// somebody is missing, and only those that wait in it; here every rank tells what it was doing, so
/// that all can name the one that was killed, hangs or failed.
///
/// The first rank that fails collects what the others tell and publishes one verdict, which all of
/// them print. Each rank makes a few calls of the store for that, however many ranks there are.
///
/// All talk with the store is that thread's: c10d waits without end for an answer of a host that
/// hangs. Whoever waits for the thread does so as long as the store answers it, and then leaves it
/// behind.
class Watch {
 public:
  /// `prefix` keeps this start's keys apart. `on_failure` is called once, on the watching thread,
  /// with the verdict on another rank's failure; it is expected to end the process.
  Watch(std::unique_ptr<Store> store, std::string prefix, int rank, int world_size,
        std::string host, std::function<void(const std::string&)> on_failure);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// These three are called by the training thread alone.
  void AtStep(std::int64_t step);
  void BeginCall(const char* name);
  void EndCall();

  /// Tells the others of this rank's error, hears what they did, and returns the verdict, within
  /// seconds. If the watching thread has begun to end the process, this waits for it.
  std::string Fail(const std::string& error, bool of_others);
  /// Looks no more: from here on a rank that is gone has done its work.
  void Retire();

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's too
};

}  // namespace fastclip
