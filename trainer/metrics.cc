#include "trainer/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fastclip {

nlohmann::ordered_json NamedSkips(const SkipCounts& skips) {
  auto named = nlohmann::ordered_json::object();
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    if (skips[cause] > 0) named[SkipName(static_cast<Skip>(cause))] = skips[cause];
  }
  return named;
}

MetricsLog::MetricsLog(const std::string& path, std::int64_t keep_bytes)
    : file_(path, AppendFile::Open::kMakeOrContinue) {
  file_.CutBackToLine(keep_bytes);
}

void MetricsLog::Write(const nlohmann::json& event) {
  file_.Append(event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::int64_t MetricsLog::Sync() {
  file_.Sync();
  return file_.length();
}

std::string MetricsLog::Tail() const {
  static constexpr std::int64_t kTail = 64 << 10;
  return file_.Read(file_.length() - std::min(file_.length(), kTail));
}

}  // namespace fastclip
