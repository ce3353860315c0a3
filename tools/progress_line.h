#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fastclip {

/// One line that is renewed on a terminal; elsewhere a line every ten seconds. On standard error.
class ProgressLine {
 public:
  ProgressLine();
  /// "done/total WHAT, rate, time left", and `more` behind it.
  void Show(std::int64_t done, std::int64_t total, const char* what, const std::string& more);
  /// Takes the line away again.
  void End() const;

 private:
  using Clock = std::chrono::steady_clock;
  const bool is_terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
};

}  // namespace fastclip
