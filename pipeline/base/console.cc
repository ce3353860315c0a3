#include "pipeline/base/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

// fmt::print would throw where the line cannot be written.
void Put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

Console::Console(bool silent) : silent_(silent), terminal_(isatty(STDERR_FILENO) == 1) {}

std::chrono::milliseconds Console::Apart() const {
  return terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
}

void Console::Status(const std::string& line) {
  if (silent_) return;
  const MutexLock lock(mutex_);
  next_ = Clock::now() + Apart();
  Put(terminal_ ? "\r\033[K" + line : line + "\n");
  status_shown_ = terminal_;
}

void Console::Clear() {
  const MutexLock lock(mutex_);
  if (status_shown_) Put("\r\033[K");
  status_shown_ = false;
}

void Console::Say(const std::string& line) {
  if (silent_) return;
  const MutexLock lock(mutex_);
  Put((status_shown_ ? "\r\033[K" : "") + PrintableLines(line) + "\n");
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
