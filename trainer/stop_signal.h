#pragma once

#include <atomic>
#include <chrono>
#include <stop_token>
#include <thread>

namespace fastclip {

/// Ctrl-C, SIGTERM and SIGUSR1 as a question that the training loop asks between steps, and as a
/// token that ends what it waits for. Make it before any other thread starts: the signals are
/// blocked in this thread and so in all that follow, and one thread waits for them. Before Attend()
/// a signal ends the process at once: there is nothing to save. After it the first one asks; a
/// second Ctrl-C, or a SIGTERM that comes seconds after the first, ends the process at once.
class StopSignal {
 public:
  /// SIGTERMs that come within `one_wish` of the first are the same wish: schedulers signal a
  /// launcher and its ranks, and the launcher signals the ranks.
  explicit StopSignal(std::chrono::milliseconds one_wish = std::chrono::seconds(3));
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From here on there is something to save.
  void Attend() { attended_ = true; }
  /// The number of the first signal that came, 0 if none did.
  int received() const { return received_.load(); }
  /// Asked for by the first signal, after received() tells its number.
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::atomic<bool> attended_{false};
  std::atomic<int> received_{0};
  std::stop_source stop_;
  std::jthread waiter_;
};

}  // namespace fastclip
