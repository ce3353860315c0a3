#include "trainer/run/data_window.h"

namespace fastclip {

std::vector<std::pair<std::string, double>> NamedStages(const StageReport& report,
                                                        double uploading) {
  std::vector<std::pair<std::string, double>> named;
  const auto add = [&](const std::string& stage, const StageReport::Stage& did) {
    named.emplace_back(stage + "_per_second", did.items_per_second);
    named.emplace_back(stage + "_mb_per_second", did.mb_per_second);
    named.emplace_back(stage + "_busy", did.busy);
  };
  add("read", report.read);
  add("decode", report.decode);
  add("resize", report.resize);
  add("tokenize", report.tokenize);
  named.emplace_back("readers_blocked", report.readers_blocked);
  named.emplace_back("workers_idle", report.workers_idle);
  named.emplace_back("readiness", 1 - report.starved);
  named.emplace_back("uploading", uploading);
  named.emplace_back("queued_records", report.queued_records);
  named.emplace_back("ready_batches", report.ready_batches);
  return named;
}

}  // namespace fastclip
