#pragma once

#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace fastclip {

/// Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 as a flag that the training loop polls between steps, and as
/// a stop token for its waits. Create it before any other thread: it blocks the signals in this
/// thread and all later ones, and one thread waits for them. Before Attend() a signal ends the
/// process at once, because there is nothing to save. After it the first signal requests a stop;
/// another Ctrl-C, or a SIGTERM some seconds after the first, ends the process without saving. A
/// SIGHUP that is ignored at the start (nohup) stays ignored.
class StopSignal {
 public:
  struct Times {
    /// A Ctrl-C this soon after the first signal is the same request: a double press, or a launcher
    /// that forwards what the terminal already sent.
    std::chrono::milliseconds again = std::chrono::milliseconds(500);
    /// SIGTERMs within this time are the same request: schedulers signal a launcher and its ranks,
    /// and the launcher signals the ranks.
    std::chrono::milliseconds one_wish = std::chrono::seconds(3);
  };
  /// Callbacks for messages, on the signal thread; both can be empty.
  struct Words {
    std::function<void(int number)> first;  ///< at the first signal: the run will save
    std::function<void()> last;             ///< the process ends now without saving
  };

  StopSignal() : StopSignal(Times{}) {}
  explicit StopSignal(const Times& times);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From here on the first signal requests a stop. When it returns, no callback of an earlier call
  /// is running or will run.
  void Attend(Words words = {});
  /// Number of the first signal received, or 0.
  int received() const { return received_.load(); }
  /// Stop is requested at the first signal, after received() is set.
  std::stop_token token() const { return stop_.get_token(); }

 private:
  void Wait(const Times& times, const std::stop_token& stop);

  const sigset_t signals_;
  std::atomic<int> received_{0};
  std::stop_source stop_;
  std::mutex mutex_;
  bool attended_ = false;
  Words words_;
  std::jthread waiter_;
};

}  // namespace fastclip
