#include "trainer/run/stop_signal.h"

#include <pthread.h>
#include <unistd.h>

#include <ctime>
#include <utility>

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

// A blocked signal is delivered to sigtimedwait even if it is ignored.
bool IsIgnored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set, number);
  if (!IsIgnored(SIGHUP)) sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

StopSignal::StopSignal(const Times& times) : signals_(Signals()) {
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  waiter_ = std::jthread([this, times](const std::stop_token& stop) { Wait(times, stop); });
}

StopSignal::~StopSignal() {
  waiter_ = {};
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
}

void StopSignal::Attend(Words words) {
  const std::lock_guard lock(mutex_);
  attended_ = true;
  words_ = std::move(words);
}

void StopSignal::Wait(const Times& times, const std::stop_token& stop) {
  Clock::time_point first_at;
  const timespec poll{.tv_sec = 0, .tv_nsec = 200'000'000};
  while (!stop.stop_requested()) {
    const int number = sigtimedwait(&signals_, nullptr, &poll);
    if (number <= 0) continue;
    const std::lock_guard lock(mutex_);
    if (!attended_) _exit(128 + number);
    int first = 0;
    if (received_.compare_exchange_strong(first, number)) {
      first_at = Clock::now();
      stop_.request_stop();  // before the callback: a terminal can block it
      if (words_.first) words_.first(number);
    } else if ((number == SIGINT && Clock::now() > first_at + times.again) ||
               (number == SIGTERM && first == SIGTERM &&
                Clock::now() > first_at + times.one_wish)) {
      if (words_.last) words_.last();
      _exit(128 + number);
    }
  }
}

}  // namespace fastclip
