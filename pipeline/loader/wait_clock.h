#pragma once

#include <chrono>

namespace fastclip {

/// Adds up how long threads wait: their number, times the time since it changed. Not thread-safe:
/// the loader's mutex guards it.
class WaitClock {
 public:
  void Begin() { Change(+1); }
  void End() { Change(-1); }
  /// So far, those that wait now included.
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
