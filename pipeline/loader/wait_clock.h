#pragma once

#include <chrono>

namespace fastclip {

/// Sums the waiting time of threads. Not thread-safe: the loader's mutex guards it.
class WaitClock {
 public:
  void Begin() { Change(+1); }
  void End() { Change(-1); }
  /// Total so far, including threads that wait now.
  double Seconds() {
    Change(0);
    return seconds_;
  }

 private:
  void Change(int threads) {
    const auto now = std::chrono::steady_clock::now();
    seconds_ += threads_ * std::chrono::duration<double>(now - changed_).count();
    changed_ = now;
    threads_ += threads;
  }

  int threads_ = 0;
  double seconds_ = 0;
  std::chrono::steady_clock::time_point changed_ = std::chrono::steady_clock::now();
};

}  // namespace fastclip
