#include "trainer/log/console_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
#include <ctime>
#include <exception>

namespace fastclip {

// A process that never opens the file must not grow without end.
constexpr std::size_t kMostEarlyBytes = std::size_t{1} << 20;

void ConsoleLog::Add(const std::string& line) {
  const std::string text =
      fmt::format("{:%Y-%m-%d %H:%M:%S}  {}\n", fmt::gmtime(std::time(nullptr)), line);
  const MutexLock lock(mutex_);
  if (file_) {
    Write(text);
  } else if (early_.size() + text.size() <= kMostEarlyBytes) {
    early_ += text;
  }
}

void ConsoleLog::Open(const std::string& path) {
  const MutexLock lock(mutex_);
  file_.emplace(path, AppendFile::Open::kMakeOrContinue);
  Write(early_);
  early_.clear();
}

void ConsoleLog::Write(const std::string& text) {
  if (failed_ || text.empty()) return;
  try {
    file_->Append(text);
  } catch (const std::exception& error) {
    failed_ = true;
    const std::string said =
        fmt::format("\nwarning: {}; nothing more is logged there\n", error.what());
    std::fwrite(said.data(), 1, said.size(), stderr);
  }
}

}  // namespace fastclip
