#pragma once

#include <atomic>
#include <thread>

namespace fastclip {

/// Ctrl-C, SIGTERM and SIGUSR1 as a question that the training loop asks between steps. Make it before
/// any other thread starts: the signals are blocked in this thread and so in all that follow, and
/// one thread waits for them. A second Ctrl-C ends the process at once.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The number of the signal that came, 0 if none did.
  int received() const { return received_.load(); }

 private:
  std::atomic<int> received_{0};
  std::jthread waiter_;
};

}  // namespace fastclip
