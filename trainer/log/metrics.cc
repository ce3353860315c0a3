#include "trainer/log/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fastclip {

nlohmann::ordered_json NamedSkips(const SkipCounts& skips) {
  auto named = nlohmann::ordered_json::object();
  for (const Skip cause : kAllSkips) {
    if (skips[cause] > 0) named[SkipName(cause)] = skips[cause];
  }
  return named;
}

MetricsLog::MetricsLog(const std::string& path, std::int64_t keep_bytes, const std::string& owed)
    : file_(path, AppendFile::Open::kMakeOrContinue), owed_(owed) {
  file_.CutBackToLine(keep_bytes);
  AppendOwed();
}

void MetricsLog::Write(const nlohmann::json& event) {
  owed_ += event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  AppendOwed();
}

void MetricsLog::AppendOwed() {
  if (owed_.empty()) return;
  file_.Append(owed_);
  owed_.clear();
}

std::int64_t MetricsLog::Sync() {
  AppendOwed();
  file_.Sync();
  return file_.length();
}

std::string MetricsLog::Tail() const {
  static constexpr std::int64_t kTail = 64 << 10;
  return file_.Read(file_.length() - std::min(file_.length(), kTail));
}

}  // namespace fastclip
