#include "trainer/metrics.h"

#include <nlohmann/json.hpp>

namespace fastclip {

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

}  // namespace fastclip
