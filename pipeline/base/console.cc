#include "pipeline/base/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

// fmt::print would throw where the line cannot be written.
void Put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

constexpr std::chrono::seconds kCopiedStatusApart{30};

std::size_t TerminalColumns() {
  constexpr std::size_t kUnknown = 80, kFewest = 20;
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? std::max<std::size_t>(size.ws_col, kFewest) : kUnknown;
}

std::string Coloured(const std::string& line, bool colour) {
  static constexpr std::string_view kWarning = "warning:";
  if (!colour || !line.starts_with(kWarning)) return line;
  return fmt::format("\033[33m{}\033[0m{}", kWarning, line.substr(kWarning.size()));
}

}  // namespace

bool ColoursWanted(int descriptor) {
  const char* const none = std::getenv("NO_COLOR");
  const char* const kind = std::getenv("TERM");
  return isatty(descriptor) == 1 && (none == nullptr || *none == '\0') &&
         (kind == nullptr || std::string_view(kind) != "dumb");
}

Console::Console(bool silent, Copy copy)
    : silent_(silent),
      terminal_(isatty(STDERR_FILENO) == 1),
      colour_(ColoursWanted(STDERR_FILENO)),
      copy_(std::move(copy)) {}

std::chrono::milliseconds Console::Apart() const {
  return terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
}

void Console::Show(const std::string& line) {
  Put("\r\033[K" + line);
  status_shown_ = true;
}

void Console::Status(const StatusLine& line) {
  if (silent_) return;
  const MutexLock lock(mutex_);
  next_ = Clock::now() + Apart();
  if (copy_ && Clock::now() >= next_copy_) {
    next_copy_ = Clock::now() + kCopiedStatusApart;
    copy_(line.Whole());
  }
  if (terminal_) {
    // The last column stays free: some terminals begin a new line when it is filled.
    Show(line.Fit(TerminalColumns() - 1, colour_));
  } else {
    Put(line.Whole() + "\n");
  }
}

void Console::Busy(const std::string& line) {
  if (silent_ || !terminal_) return;
  const MutexLock lock(mutex_);
  Show(StatusLine(line).Fit(TerminalColumns() - 1, colour_));
}

void Console::Clear() {
  const MutexLock lock(mutex_);
  if (status_shown_) Put("\r\033[K");
  status_shown_ = false;
}

void Console::Say(const std::string& line) {
  if (silent_) return;
  const MutexLock lock(mutex_);
  const std::string printable = PrintableLines(line);
  Put((status_shown_ ? "\r\033[K" : "") + Coloured(printable, colour_) + "\n");
  status_shown_ = false;
  if (copy_) copy_(printable);
}

std::string Duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} m {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} m", whole / 3600, whole % 3600 / 60);
}

}  // namespace fastclip
