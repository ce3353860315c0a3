#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fastclip {

/// How fast a run goes. For people only: nothing in the run depends on it. Evaluation and
/// checkpoints are no training time.
class RunClock {
 public:
  using Steady = std::chrono::steady_clock;

  /// `waited`: seconds of the step in which training had no batch.
  void StepDone(std::int64_t samples, double waited) {
    samples_ += samples;
    waited_ += waited;
    total_waited_ += waited;
    ++steps_;
  }
  /// Over the whole run so far.
  double SecondsAStep() const {
    return Elapsed() / static_cast<double>(std::max<std::int64_t>(1, steps_));
  }
  double DataWait() const { return std::min(1.0, total_waited_ / Elapsed()); }

  struct Rate {
    double samples_per_second = 0;
    double data_wait = 0;         ///< share of the time, 0 to 1
    double seconds_per_step = 0;  ///< infinite if no step was done
  };
  /// Since the last look.
  Rate Look() {
    const double seconds = std::max(1e-9, Seconds(Steady::now() - last_));
    const Rate rate{static_cast<double>(samples_) / seconds, std::min(1.0, waited_ / seconds),
                    seconds / static_cast<double>(steps_ - steps_at_look_)};
    last_ = Steady::now();
    steps_at_look_ = steps_;
    samples_ = 0;
    waited_ = 0;
    return rate;
  }
  template <class Function>
  void Pause(Function&& function) {
    const auto begin = Steady::now();
    function();
    const auto pause = Steady::now() - begin;
    start_ += pause;
    last_ += pause;
  }

 private:
  static double Seconds(Steady::duration time) {
    return std::chrono::duration<double>(time).count();
  }
  double Elapsed() const { return std::max(1e-9, Seconds(Steady::now() - start_)); }

  Steady::time_point start_ = Steady::now();
  Steady::time_point last_ = start_;
  std::int64_t samples_ = 0;
  std::int64_t steps_ = 0;
  std::int64_t steps_at_look_ = 0;
  double waited_ = 0;
  double total_waited_ = 0;
};

}  // namespace fastclip
