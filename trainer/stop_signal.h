#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace fastclip {

/// Ctrl-C, SIGTERM and SIGUSR1 as a question that the training loop asks between steps, and as a
/// token that ends what it waits for. Make it before any other thread starts: the signals are
/// blocked in this thread and so in all that follow, and one thread waits for them. A second
/// SIGTERM, or a Ctrl-C after any of them, ends the process at once.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The number of the first signal that came, 0 if none did.
  int received() const { return received_.load(); }
  /// Asked for by the first signal, after received() tells its number.
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::atomic<int> received_{0};
  std::stop_source stop_;
  std::jthread waiter_;
};

}  // namespace fastclip
