#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>

namespace fastclip {

/// Waits, but no longer than until `stop` is asked for.
void Pause(std::chrono::nanoseconds time, const std::stop_token& stop = {});

/// Counts the failures of one call: one that may pass is tried four times over one second.
class Retries {
 public:
  /// Whether to try again after that errno. Waits before it says so.
  bool MayTryAgain(int error, const std::stop_token& stop = {});
  /// The same for an error that may pass, whatever it is.
  bool MayTryAgain(const std::stop_token& stop = {});

 private:
  std::size_t failures_ = 0;
};

}  // namespace fastclip
