#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/loader/batch_loader.h"
#include "pipeline/loader/stage_report.h"

namespace fastclip {

/// Delays that make one part of a run its slowest.
struct Delays {
  std::optional<LoaderStage> stage = {};
  double stage_ms = 2;   ///< a record
  double upload_ms = 0;  ///< of the consumer, a batch
  double training_ms = 0;

  /// LoaderRuntime::before_stage.
  void Before(LoaderStage now) const {
    if (stage == now) Sleep(stage_ms);
  }
  static void Sleep(double milliseconds) {
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
  }
};

/// Trains on nothing for some windows, and asks at the end of each what holds the run back.
inline std::vector<StageVerdict> Verdicts(BatchLoader& loader, const Delays& delays, int windows,
                                          double window_seconds) {
  loader.Next();
  std::vector<StageVerdict> verdicts;
  for (int window = 0; window < windows; ++window) {
    const LoaderStats before = loader.stats();
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    double uploading = 0;
    while (seconds() < window_seconds) {
      loader.Next();
      const double began = seconds();
      Delays::Sleep(delays.upload_ms);
      uploading += seconds() - began;
      Delays::Sleep(delays.training_ms);
    }
    const StageReport report = ReportBetween(before, loader.stats(), seconds());
    verdicts.push_back(Judge(report, uploading / seconds()));
  }
  return verdicts;
}

}  // namespace fastclip
