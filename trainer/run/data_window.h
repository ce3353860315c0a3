#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/loader/stage_report.h"

namespace fastclip {

/// Loader statistics over a stretch of training without evaluation or checkpoint. Informational:
/// nothing in the run depends on it.
class DataWindow {
 public:
  void Begin(const LoaderStats& stats) {
    before_ = stats;
    since_ = Steady::now();
    uploading_ = 0;
  }
  /// Adds seconds spent converting a batch to tensors.
  void Uploaded(double seconds) { uploading_ += seconds; }
  double seconds() const {
    return std::max(1e-9, std::chrono::duration<double>(Steady::now() - since_).count());
  }
  double uploading() const { return std::min(1.0, uploading_ / seconds()); }
  StageReport Report(const LoaderStats& now) const {
    return ReportBetween(before_, now, seconds());
  }

 private:
  using Steady = std::chrono::steady_clock;
  LoaderStats before_;
  Steady::time_point since_ = Steady::now();
  double uploading_ = 0;
};

/// Values of metrics.jsonl's "data": records/s, MB/s and busy threads of each stage; fractions of
/// time waiting; queue lengths; fraction of time uploading.
std::vector<std::pair<std::string, double>> NamedStages(const StageReport& report,
                                                        double uploading);

}  // namespace fastclip
