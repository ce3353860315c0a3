#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>

namespace fastclip {

/// Waits, at most until `stop` is requested.
void Pause(std::chrono::nanoseconds time, const std::stop_token& stop = {});

/// Counts the failures of one call: a transient one is tried four times over one second.
class Retries {
 public:
  /// Whether to retry after that errno. Waits before returning true.
  bool MayTryAgain(int error, const std::stop_token& stop = {});
  /// The same for any transient error.
  bool MayTryAgain(const std::stop_token& stop = {});

 private:
  std::size_t failures_ = 0;
};

}  // namespace fastclip
