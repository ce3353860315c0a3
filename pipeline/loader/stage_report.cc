#include "pipeline/loader/stage_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

// A consumer that waits less than this is not held back by its data.
constexpr double kStarvedAtAll = 0.05;

StageReport::Stage Between(const LoaderStats::Stage& before, const LoaderStats::Stage& now,
                           double seconds) {
  return {.items_per_second = static_cast<double>(now.items - before.items) / seconds,
          .mb_per_second = 1e-6 * static_cast<double>(now.bytes - before.bytes) / seconds,
          .busy = (now.busy_seconds - before.busy_seconds) / seconds};
}

double Share(double value) { return std::clamp(value, 0.0, 1.0); }

double WorkersBusy(const StageReport& report) {
  return report.decode.busy + report.resize.busy + report.tokenize.busy;
}

std::string Percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

StageVerdict JudgeConsumer(const StageReport& report, double uploading) {
  const double training = 1 - report.starved - uploading;
  if (uploading > training) {
    return {Bottleneck::kUpload,
            fmt::format("Bottleneck: upload (converting batches to tensors takes {} of the time). "
                        "Raise train.threads, or use a model with a smaller image_size.",
                        Percent(uploading))};
  }
  return {Bottleneck::kTraining,
          fmt::format("Bottleneck: the model ({} of the time). The data keeps up; loader settings "
                      "will not help.",
                      Percent(1 - report.starved))};
}

/// The costliest of what a computing thread does.
StageVerdict JudgeWorkers(const StageReport& report) {
  struct Part {
    Bottleneck limit;
    double busy;
    const char* advice;
  };
  const std::array parts = {
      Part{Bottleneck::kDecode, report.decode.busy,
           "Raise pipeline.threads, or store smaller images (shards convert --resize)."},
      Part{Bottleneck::kResize, report.resize.busy, "Raise pipeline.threads."},
      Part{Bottleneck::kTokenize, report.tokenize.busy, "Raise pipeline.threads."}};
  const Part& most = *std::ranges::max_element(parts, {}, &Part::busy);
  return {most.limit,
          fmt::format("Bottleneck: {} ({} of the work of {}; the model waited {} of the time). {}",
                      BottleneckName(most.limit),
                      Percent(most.busy / std::max(1e-9, WorkersBusy(report))),
                      Counted(report.threads, "thread"), Percent(report.starved), most.advice)};
}

}  // namespace

StageReport ReportBetween(const LoaderStats& before, const LoaderStats& now, double seconds) {
  StageReport report{.read = Between(before.read, now.read, seconds),
                     .decode = Between(before.decode, now.decode, seconds),
                     .resize = Between(before.resize, now.resize, seconds),
                     .tokenize = Between(before.tokenize, now.tokenize, seconds),
                     .seconds = seconds,
                     .threads = now.threads,
                     .io_threads = now.io_threads,
                     .queued_records = now.queued_records,
                     .ready_batches = now.ready_batches};
  report.readers_blocked =
      Share((now.blocked_seconds - before.blocked_seconds) / (seconds * now.io_threads));
  report.workers_idle = Share(1 - WorkersBusy(report) / now.threads);
  report.starved = Share((now.starved_seconds - before.starved_seconds) / seconds);
  return report;
}

const char* BottleneckName(Bottleneck limit) {
  static constexpr const char* kNames[] = {"disk",     "decode", "resize",
                                           "tokenize", "upload", "training"};
  return kNames[static_cast<int>(limit)];
}

StageVerdict Judge(const StageReport& report, double uploading) {
  if (report.starved < kStarvedAtAll) return JudgeConsumer(report, uploading);
  // Reading and computing overlap: the one with less time to spare sets the pace.
  const double readers_busy = report.read.busy / std::max(1, report.io_threads);
  if (readers_busy > WorkersBusy(report) / std::max(1, report.threads)) {
    return {
        Bottleneck::kDisk,
        fmt::format("Bottleneck: disk ({} busy {} of the time, {:.0f} MB/s; the model waited {}). "
                    "Raise pipeline.io_threads, or put the shards on a faster disk.",
                    Counted(report.io_threads, "reading thread"), Percent(readers_busy),
                    report.read.mb_per_second, Percent(report.starved))};
  }
  return JudgeWorkers(report);
}

}  // namespace fastclip
