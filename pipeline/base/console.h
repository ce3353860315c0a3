#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "pipeline/base/mutex.h"

namespace fastclip {

/// One line that stands for the state of some work: rewritten in place on a terminal, printed now
/// and then as a plain line elsewhere. Goes to stderr, so that stdout stays the program's result.
/// One rank of a run speaks; those of the others are silent. A stderr that cannot be written (a
/// full disk, a closed pipe, a terminal that is gone) is no error: the work goes on. Thread-safe.
class Console {
 public:
  explicit Console(bool silent = false);
  /// Whether it is time for another status: 10 times a second on a terminal, every 10 s elsewhere.
  /// For the thread that calls Status().
  bool StatusDue() const { return !silent_ && Clock::now() >= next_; }
  void Status(const std::string& line);
  /// The first status comes after as long as the next ones: short work says nothing.
  void SkipFirstStatus() { next_ = Clock::now() + Apart(); }
  /// Takes the status away again.
  void Clear();
  /// Prints a line that stays.
  void Say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::milliseconds Apart() const;
  bool silent_;
  bool terminal_;
  Mutex mutex_;
  bool status_shown_ FASTCLIP_GUARDED_BY(mutex_) = false;
  Clock::time_point next_{};
};

/// "3 m 20 s", "1 h 02 m", "12 s".
std::string Duration(double seconds);

}  // namespace fastclip
