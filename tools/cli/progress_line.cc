#include "tools/cli/progress_line.h"

#include <fmt/format.h>

#include <algorithm>

namespace fastclip {

void ProgressLine::Show(std::int64_t done, std::int64_t total, const std::string& what,
                        const std::string& more) {
  if (!console_.StatusDue()) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = static_cast<double>(done) / seconds;
  const double left = static_cast<double>(total - done) / std::max(rate, 1e-9);
  console_.Status(StatusLine(fmt::format("{}/{} {}", done, total, what))
                      .Bar(static_cast<double>(done) / static_cast<double>(total))
                      .Add(3, fmt::format("{:.3g} {}/s", rate, what))
                      .Add(2, more)
                      .Add(1, Duration(left) + " left"));
}

}  // namespace fastclip
