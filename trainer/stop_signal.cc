#include "trainer/stop_signal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <ctime>

namespace fastclip {
namespace {

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set, number);
  return set;
}

}  // namespace

StopSignal::StopSignal(std::chrono::milliseconds one_wish) {
  const sigset_t set = Signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  waiter_ = std::jthread([this, one_wish](std::stop_token stop) {
    const sigset_t waited = Signals();
    std::chrono::steady_clock::time_point first_at;
    const timespec poll{.tv_sec = 0, .tv_nsec = 200'000'000};
    while (!stop.stop_requested()) {
      const int number = sigtimedwait(&waited, nullptr, &poll);
      if (number <= 0) continue;
      if (!attended_) _exit(128 + number);
      int first = 0;
      if (received_.compare_exchange_strong(first, number)) {
        first_at = std::chrono::steady_clock::now();
        stop_.request_stop();
      } else if (number == SIGINT || (number == SIGTERM && first == SIGTERM &&
                                      std::chrono::steady_clock::now() > first_at + one_wish)) {
        _exit(128 + number);
      }
    }
  });
}

StopSignal::~StopSignal() {
  waiter_ = {};
  const sigset_t set = Signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace fastclip
