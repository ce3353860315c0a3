#pragma once

#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace fastclip {

/// Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 as a question that the training loop asks between steps, and
/// as a token that ends what it waits for. Make it before any other thread starts: the signals are
/// blocked in this thread and so in all that follow, and one thread waits for them. Before Attend()
/// a signal ends the process at once: there is nothing to save. After it the first one asks. Then
/// another Ctrl-C, or a SIGTERM that comes seconds after the first, ends the process without
/// saving. A SIGHUP that the process was started to ignore (nohup) stays ignored.
class StopSignal {
 public:
  struct Times {
    /// A Ctrl-C that comes this soon after the first signal is the same wish: a second press in
    /// haste, or a launcher that passes on what the terminal has sent already.
    std::chrono::milliseconds again = std::chrono::milliseconds(500);
    /// SIGTERMs that come within this time are the same wish: schedulers signal a launcher and its
    /// ranks, and the launcher signals the ranks.
    std::chrono::milliseconds one_wish = std::chrono::seconds(3);
  };
  /// What the user is told, on the thread that waits for signals; either may be empty.
  struct Words {
    std::function<void(int number)> first;  ///< the first signal came: the run is about to save
    std::function<void()> last;             ///< the process ends now, and nothing more is saved
  };

  StopSignal() : StopSignal(Times{}) {}
  explicit StopSignal(const Times& times);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From here on there is something to save. When it returns, no words of an earlier call are
  /// being said or will be.
  void Attend(Words words = {});
  /// The number of the first signal that came, 0 if none did.
  int received() const { return received_.load(); }
  /// Asked for by the first signal, after received() tells its number.
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
