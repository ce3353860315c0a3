#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "pipeline/base/mutex.h"
#include "pipeline/base/status_line.h"

namespace fastclip {

/// Messages and one status line, on stderr: stdout stays the program's result.
///
/// On a terminal the status is rewritten in place, within the terminal's width; elsewhere it is
/// printed now and then as a line of its own. One rank of a run speaks; the others are silent. A
/// stderr that cannot be written (a full disk, a closed pipe, a closed terminal) is not an error:
/// the work continues. Thread-safe.
class Console {
 public:
  /// Gets each line that is printed and stays, without its end: messages, and now and then a
  /// status.
  using Copy = std::function<void(const std::string&)>;
  explicit Console(bool silent = false, Copy copy = {});
  /// Removes the status line, so that what is printed next, such as an error, has its own line.
  ~Console() { Clear(); }
  /// Whether it is time for another status: 10 times a second on a terminal, every 10 s elsewhere.
  /// For the thread that calls Status().
  bool StatusDue() const { return !silent_ && Clock::now() >= next_; }
  void Status(const StatusLine& line);
  /// A status for the time of some work that shows none of its own ("saving step 900"); only on a
  /// terminal.
  void Busy(const std::string& line);
  /// The first status comes after as long as the next ones: short work shows none.
  void SkipFirstStatus() { next_ = Clock::now() + Apart(); }
  /// Removes the status line.
  void Clear();
  /// Prints a line that stays.
  void Say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::milliseconds Apart() const;
  void Show(const std::string& line) FASTCLIP_REQUIRES(mutex_);
  bool silent_;
  bool terminal_;
  bool colour_;
  Copy copy_;
  Mutex mutex_;
  bool status_shown_ FASTCLIP_GUARDED_BY(mutex_) = false;
  Clock::time_point next_copy_ FASTCLIP_GUARDED_BY(mutex_){};
  Clock::time_point next_{};
};

/// Whether text on this descriptor may be coloured: it is a terminal that can, and NO_COLOR
/// (no-color.org) is not set.
bool ColoursWanted(int descriptor);

/// "3 m 20 s", "1 h 02 m", "12 s".
std::string Duration(double seconds);

}  // namespace fastclip
