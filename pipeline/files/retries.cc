#include "pipeline/files/retries.h"

#include <array>
#include <cerrno>

#include "pipeline/base/mutex.h"

namespace fastclip {

void Pause(std::chrono::nanoseconds time, const std::stop_token& stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  Mutex mutex;
  Condition asked;
  const std::stop_callback wake(stop, [&] {
    { const MutexLock lock(mutex); }
    asked.NotifyAll();
  });
  MutexLock lock(mutex);
  while (!stop.stop_requested() && std::chrono::steady_clock::now() < end) {
    asked.WaitUntil(lock, end);
  }
}

bool Retries::MayTryAgain(int error, const std::stop_token& stop) {
  if (error == EINTR) return true;
  const bool may_pass = error == EIO || error == ESTALE || error == EAGAIN || error == ETIMEDOUT;
  return may_pass && MayTryAgain(stop);
}

bool Retries::MayTryAgain(const std::stop_token& stop) {
  static constexpr std::array kPauses = {std::chrono::milliseconds(50),
                                         std::chrono::milliseconds(200),
                                         std::chrono::milliseconds(750)};
  if (failures_ == kPauses.size()) return false;
  Pause(kPauses[failures_++], stop);
  return true;
}

}  // namespace fastclip
