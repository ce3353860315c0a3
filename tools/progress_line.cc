#include "tools/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/tell.h"

namespace fastclip {

ProgressLine::ProgressLine() : is_terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressLine::Show(std::int64_t done, std::int64_t total, const char* what,
                        const std::string& more) {
  const auto now = Clock::now();
  const auto apart =
      is_terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10'000);
  if (now - shown_ < apart) return;
  shown_ = now;
  const double rate =
      static_cast<double>(done) / std::chrono::duration<double>(now - start_).count();
  const double left = static_cast<double>(total - done) / std::max(rate, 1e-9);
  Tell("{}{}/{} {}, {:.0f} {}/s, {:.0f} s left, {}{}", is_terminal_ ? "\r\033[K" : "", done, total,
       what, rate, what, left, more, is_terminal_ ? "" : "\n");
  std::fflush(stderr);
}

void ProgressLine::End() const {
  if (is_terminal_) Tell("\r\033[K");
}

}  // namespace fastclip
