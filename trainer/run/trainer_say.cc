#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/log/metrics.h"
#include "trainer/run/trainer.h"

// What a run prints and logs while it trains: status line, metrics, bad records, its last line.

namespace fastclip {
namespace {

constexpr std::size_t kWorstShards = 10;
constexpr double kNoticedWait = 0.05;  // share of the time

/// "1350", "142", "8.41", "0.0213": three figures at least, no exponent.
std::string Figures(double value) {
  const double digits = value > 0 ? std::floor(std::log10(value)) : 0;
  return fmt::format("{:.{}f}", value, static_cast<int>(std::clamp(2 - digits, 0.0, 6.0)));
}

}  // namespace

void Trainer::SayEnd() {
  std::string line =
      fmt::format("{}: {}; {}; {}", refused_in_a_row_ == 0 ? "done" : "ended",
                  Counted(step_, "step"), folder_->checkpoints().last(), DescribeBadRecords());
  if (refused_ > 0) {
    line += fmt::format("; {} not applied, as {} loss or gradient was not finite",
                        Counted(refused_, "step"), refused_ == 1 ? "its" : "their");
  }
  if (overflowed_ > 0) {
    line += fmt::format("; {} not applied while the gradient scale was too large",
                        Counted(overflowed_, "step"));
  }
  console_.Say(line);
  SayWorstShards();
}

/// Records are counted once; every epoch may replace them again. Every rank calls it.
std::string Trainer::DescribeBadRecords() {
  const std::int64_t replaced = TotalSkips().total();
  const SkipCounts records = folder_->quarantine().Records();
  std::string text = "no bad records";
  if (records.total() > 0) {
    text = fmt::format("{} ({})", Counted(records.total(), "bad record"), DescribeSkips(records));
  } else if (replaced > 0) {
    text = "bad records";  // their list was removed
  }
  if (replaced > 0) text += fmt::format(", replaced {}", Counted(replaced, "time"));
  if (records.total() > 0) text += fmt::format("; see {}", folder_->quarantine().path());
  return text;
}

void Trainer::SayWorstShards() {
  for (const std::string& shard : folder_->quarantine().WorstShards(kWorstShards)) {
    console_.Say("  " + shard);
  }
}

/// A run that fails has often failed by its data: all records that were found bad are listed, also
/// those of a batch that was never made. Every rank calls it.
void Trainer::SayBadData() {
  try {
    folder_->quarantine().NoteKnown();
    folder_->quarantine().Write(comm_);
    SayWorstShards();
  } catch (const std::exception& error) {  // what ended the run is reported by the caller
    console_.Say(fmt::format("warning: the bad records could not be listed: {}", error.what()));
  }
}

void Trainer::Log(const DoneStep& done, const LoaderStats& stats) {
  const SkipCounts skips = TotalSkips();
  replaced_ = skips.total();
  if (folder_->log() != nullptr) KeepFailure([&] { WriteMetrics(done, stats, skips); });
  logged_.Begin(stats);
  RefuseGarbage(skips, done.step);
}

void Trainer::WriteMetrics(const DoneStep& done, const LoaderStats& stats,
                           const SkipCounts& skips) {
  const StepReport& report = done.report;
  const RunClock::Rate rate = clock_.Look();
  const StageReport stages = logged_.Report(stats);
  const bool labels = config_->adapt.classifies();
  const RunLog::Scalars of_labels = {{"loss", report.loss},
                                     {"accuracy", report.in_batch_accuracy},
                                     {"gradient_norm", report.gradient_norm},
                                     {"lr", done.lr},
                                     {"samples_per_second", rate.samples_per_second},
                                     {"data_wait", rate.data_wait}};
  const RunLog::Scalars of_pairs = {{"loss", report.loss},
                                    {"contrastive_loss", report.contrastive_loss},
                                    {"in_batch_accuracy", report.in_batch_accuracy},
                                    {"gradient_norm", report.gradient_norm},
                                    {"lr", done.lr},
                                    {"lr_tau", report.lr_tau},
                                    {"gamma", done.gamma},
                                    {"tau", report.tau()},
                                    {"log_u_mean", report.log_u_mean},
                                    {"first_visits", report.first_visits},
                                    {"samples_per_second", rate.samples_per_second},
                                    {"data_wait", rate.data_wait}};
  folder_->log()->Write("train", done.step, labels ? of_labels : of_pairs,
                        {{"epoch", done.epoch},
                         {"overflowed_steps", overflowed_},
                         {"samples", done.step * config_->train.batch_size},
                         {"refused_steps", refused_},
                         {"gathered_bytes", comm_.traffic().gathered},
                         {"summed_bytes", comm_.traffic().summed},
                         {"broadcast_bytes", comm_.traffic().broadcast},
                         {"skips", NamedSkips(skips)},
                         {"limit", BottleneckName(Judge(stages, logged_.uploading()).limit)}},
                        {.group = "train",
                         .at = done.step,
                         .more = {{"scale", 1 / report.tau()},
                                  {"batch_time", rate.seconds_per_step},
                                  {"data_time", rate.data_wait * rate.seconds_per_step}}},
                        {{"data", NamedStages(stages, logged_.uploading())}});
}

// Only a change is printed: nothing while the model is the bottleneck all the time.
void Trainer::SayVerdict(const LoaderStats& stats) {
  const StageVerdict verdict = Judge(watched_.Report(stats), watched_.uploading());
  if (verdict.limit != said_) console_.Say(verdict.text);
  said_ = verdict.limit;
  watched_.Begin(stats);
}

/// Fields of a higher rank go first on a narrow terminal.
void Trainer::ShowProgress(const DoneStep& done) {
  if (!console_.StatusDue()) return;
  const StepReport& report = done.report;
  const double seconds = clock_.SecondsAStep();
  const double waited = clock_.DataWait();
  StatusLine line;
  line.Add(5, fmt::format("epoch {}/{}", done.epoch + 1, config_->train.epochs))
      .Add(0, fmt::format("step {}/{}", done.step, total_steps_))
      .Bar(static_cast<double>(done.step) / static_cast<double>(total_steps_))
      .Add(0, fmt::format("loss {:.3f}", report.contrastive_loss))
      .Add(6, fmt::format("accuracy {:.1f}%", 100 * report.in_batch_accuracy))
      .Add(9, HasItsOwnLoss(config_->objective.name) ? fmt::format("objective {:.4f}", report.loss)
                                                     : "")
      .Add(8, config_->adapt.classifies() ? "" : fmt::format("tau {:.4f}", report.tau()))
      .Add(1, fmt::format("lr {:.2e}", done.lr))
      .Add(4, fmt::format("{} samples/s",
                          Figures(static_cast<double>(config_->train.batch_size) / seconds)))
      .Add(waited >= kNoticedWait ? 4 : 10, fmt::format("data wait {:.0f}%", 100 * waited));
  for (const auto& evaluator : evaluators_) line.Add(2, evaluator->brief);
  if (const CheckpointWriter& writer = folder_->checkpoints(); writer.writing()) {
    line.Add(5, fmt::format("saving step {}", writer.writing_step()));
  }
  if (replaced_ > 0) line.Add(7, fmt::format("{} replaced", replaced_));
  if (refused_ > 0) line.Add(1, fmt::format("not finite {}", refused_));
  if (overflowed_ > 0) line.Add(1, fmt::format("overflowed {}", overflowed_));
  line.Add(3, Duration(seconds * static_cast<double>(total_steps_ - done.step)) + " left");
  console_.Status(line);
}

}  // namespace fastclip
