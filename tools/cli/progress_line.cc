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
  console_.Status(fmt::format("{}/{} {}, {:.3g} {}/s, {} left{}{}", done, total, what, rate, what,
                              Duration(left), more.empty() ? "" : ", ", more));
}

}  // namespace fastclip
