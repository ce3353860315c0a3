#include "trainer/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "pipeline/printable.h"

namespace fastclip {

Console::Console(bool silent) : silent_(silent), terminal_(isatty(STDERR_FILENO) == 1) {}

void Console::Status(const std::string& line) {
  if (silent_) return;
  next_ = Clock::now() + (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10));
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
    status_shown_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
}

void Console::Say(const std::string& line) {
  if (silent_) return;
  fmt::print(stderr, "{}{}\n", status_shown_ ? "\r\033[K" : "", PrintableLines(line));
  status_shown_ = false;
}

std::string Duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} m {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} m", whole / 3600, whole % 3600 / 60);
}

}  // namespace fastclip
