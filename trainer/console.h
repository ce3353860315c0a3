#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace fastclip {

/// One line that stands for the state of a run: rewritten in place on a terminal, printed now and
/// then as a plain line elsewhere. Goes to stderr, so that stdout stays the program's result. One
/// rank of a run speaks; those of the others are silent. A stderr that cannot be written (a full
/// disk, a closed pipe, a terminal that is gone) is no error: training goes on. Thread-safe.
class Console {
 public:
  explicit Console(bool silent = false);
  /// Whether it is time for another status: 10 times a second on a terminal, every 10 s elsewhere.
  /// For the thread that calls Status().
  bool StatusDue() const { return !silent_ && Clock::now() >= next_; }
  void Status(const std::string& line);
  /// Prints a line that stays.
  void Say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  bool silent_;
  bool terminal_;
  std::mutex mutex_;
  bool status_shown_ = false;
  Clock::time_point next_{};
};

/// "3 m 20 s", "1 h 02 m", "12 s".
std::string Duration(double seconds);

}  // namespace fastclip
