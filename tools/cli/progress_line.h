#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "pipeline/base/console.h"

namespace fastclip {

/// Shows the progress of a command on a Console.
class ProgressLine {
 public:
  ProgressLine() { console_.SkipFirstStatus(); }
  /// Prints "done/total WHAT, rate, time left", then `more`.
  void Show(std::int64_t done, std::int64_t total, const std::string& what,
            const std::string& more);
  /// Removes the line.
  void End() { console_.Clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
  Console console_;
};

}  // namespace fastclip
