#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/log/metrics.h"
#include "trainer/run/trainer.h"

// What a run says while it trains: status line, metrics, what its data lacked, its last line.

namespace fastclip {
namespace {

constexpr std::size_t kWorstShards = 10;

}  // namespace

void Trainer::SayEnd() {
  const std::string skips = DescribeSkips(TotalSkips());
  std::string line = fmt::format("{}: {}; {}; skips: {}", refused_in_a_row_ == 0 ? "done" : "ended",
                                 Counted(step_, "step"), folder_->last_checkpoint(),
                                 skips.empty() ? "none" : skips);
  if (refused_ > 0) {
    line += fmt::format("; {} of the steps changed nothing, as {} loss or gradient was not finite",
                        refused_, refused_ == 1 ? "its" : "their");
  }
  if (overflowed_ > 0) {
    line += fmt::format("; {} of the steps changed nothing while the gradient scale was too large",
                        overflowed_);
  }
  console_.Say(line);
  SayWorstShards();
}

void Trainer::SayWorstShards() {
  for (const std::string& shard : folder_->quarantine().WorstShards(kWorstShards)) {
    console_.Say("  " + shard);
  }
}

/// When the run dies, of its data as like as not: all that was found bad is written down, be it on
/// the way to a batch that never came (but for what is missing or changed, which nobody keeps).
/// Every rank calls it.
void Trainer::SayBadData() {
  try {
    folder_->quarantine().NoteKnown();
    folder_->quarantine().Write(comm_);
    SayWorstShards();
  } catch (const std::exception& error) {  // the cause of the end is the one to tell
    console_.Say(fmt::format("the bad records could not be written down: {}", error.what()));
  }
}

double Trainer::Tau(const StepReport& report) const {
  return std::isnan(report.tau_mean) ? std::exp(-model().logit_scale().item<double>())
                                     : report.tau_mean;
}

void Trainer::Log(const StepReport& report, const Batch& batch, const LoaderStats& stats) {
  const SkipCounts skips = TotalSkips();
  described_skips_ = DescribeSkips(skips);
  if (folder_->log() != nullptr) KeepFailure([&] { WriteMetrics(report, batch, stats, skips); });
  logged_.Begin(stats);
  RefuseGarbage(skips);
}

void Trainer::WriteMetrics(const StepReport& report, const Batch& batch, const LoaderStats& stats,
                           const SkipCounts& skips) {
  const RunClock::Rate rate = clock_.Look();
  const StageReport stages = logged_.Report(stats);
  const RunLog::Scalars scalars = {{"loss", report.loss},
                                   {"gradient_norm", report.gradient_norm},
                                   {"lr", rates_.model},
                                   {"lr_tau", rates_.tau},
                                   {"gamma", gamma_},
                                   {"tau", Tau(report)},
                                   {"log_u_mean", report.log_u_mean},
                                   {"first_visits", report.first_visits},
                                   {"samples_per_second", rate.samples_per_second},
                                   {"data_wait", rate.data_wait}};
  folder_->log()->Write("train", step_, scalars,
                        {{"epoch", batch.epoch()},
                         {"overflowed_steps", overflowed_},
                         {"samples", step_ * config_->train.batch_size},
                         {"refused_steps", refused_},
                         {"gathered_bytes", comm_.traffic().gathered},
                         {"summed_bytes", comm_.traffic().summed},
                         {"broadcast_bytes", comm_.traffic().broadcast},
                         {"skips", NamedSkips(skips)},
                         {"limit", BottleneckName(Judge(stages, logged_.uploading()).limit)}},
                        {{"data", NamedStages(stages, logged_.uploading())}});
}

// Only what changes is said: a run that trains all the time says nothing.
void Trainer::SayVerdict(const LoaderStats& stats) {
  const StageVerdict verdict = Judge(watched_.Report(stats), watched_.uploading());
  if (verdict.limit != said_) console_.Say("held back by " + verdict.text);
  said_ = verdict.limit;
  watched_.Begin(stats);
}

void Trainer::ShowProgress(const StepReport& report) {
  if (!console_.StatusDue()) return;
  console_.Status(fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.4f}  tau {:.4f}  {:.0f} samples/s  data wait "
      "{:.0f}%{}{}{}  {} left",
      std::min(epoch() + 1, config_->train.epochs), config_->train.epochs, step_, total_steps_,
      report.loss, Tau(report),
      static_cast<double>(config_->train.batch_size) / clock_.SecondsAStep(),
      100 * clock_.DataWait(), described_skips_.empty() ? "" : "  skipped " + described_skips_,
      refused_ == 0 ? "" : fmt::format("  not finite {}", refused_),
      overflowed_ == 0 ? "" : fmt::format("  overflowed {}", overflowed_),
      Duration(clock_.SecondsAStep() * static_cast<double>(total_steps_ - step_))));
}

}  // namespace fastclip
