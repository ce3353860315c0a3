#include "trainer/run/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "comm/comm_error.h"
#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/base/versions.h"
#include "trainer/model/presets.h"
#include "trainer/run/metrics.h"
#include "trainer/state/weights_file.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {
namespace {

constexpr int kRefusedStepsInARow = 5;
constexpr double kVerdictSeconds = 10;
constexpr std::size_t kWorstShards = 10;
// Of fewer records a share says nothing.
constexpr std::int64_t kFewestTried = 1000;

UniqueFd OpenSpareFile() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

// A resume enters the same loop: what the stopped run still owed of its last step comes first.
int Trainer::Run(StopSignal& stop) {
  constexpr int kFilesOfASave = 8;
  for (int i = 0; i < kFilesOfASave; ++i) spare_files_.push_back(OpenSpareFile());
  done_ = step_;
  const struct Attention {  // the words need this trainer
    Attention(StopSignal& signal, StopSignal::Words words) : stop(signal) {
      stop.Attend(std::move(words));
    }
    ~Attention() { stop.Attend(); }
    StopSignal& stop;
  } attention(stop, StopWords());
  try {
    return RunSteps(stop);
  } catch (const SharedError&) {
    SayBadData();
    throw;
  } catch (const std::exception&) {
    if (comm_.world_size() == 1) SayBadData();
    throw;
  }
}

int Trainer::RunSteps(StopSignal& stop) {
  std::optional<BatchLoader> loader;
  first_step_ = step_;
  bool talk = true;  // the same on all ranks
  for (;;) {
    comm_.AtStep(step_);
    const bool pauses = OwesEvaluation() || OwesCheckpoint();
    clock_.Pause([&] {
      if (OwesEvaluation()) EvaluateOrSave(stop.token());
      if (OwesCheckpoint()) Save();
    });
    talk = talk || pauses;
    if (step_ >= total_steps_ && !OwesEvaluation()) break;
    std::optional<Batch> batch;
    KeepFailure([&] {
      // Without talk the others begin the step at once: this rank's batch is at hand.
      if (step_ < total_steps_ && !(talk && failure_)) {
        batch = NextBatch(loader, pauses, talk ? stop.token() : std::stop_token());
      }
    });
    if (talk && failure_) loader.reset();  // its memory and files are the save's now
    if (const int signal = talk ? AgreedStop(stop) : 0; signal != 0) {
      if (!saved_) Save();
      EndIfAnyFailed();
      console_.Say(fmt::format("stopped at step {} of {}; resume=true goes on from there", step_,
                               total_steps_));
      SayWorstShards();
      return signal;
    }
    if (!batch && failure_) std::rethrow_exception(failure_);
    if (!batch) throw std::logic_error("the loader ended before the run");
    const auto wants_talk = [&] {
      return stop.received() != 0 || failure_ != nullptr || !loader->HasNext();
    };
    under_way_ = 1;
    const StepReport report = TrainOn(*batch, wants_talk);
    talk = comm_.world_size() == 1 || report.to_talk;
    clock_.StepDone(config_->train.batch_size, starved_);
    CountRefusal(report);
    done_ = ++step_;
    under_way_ = 0;
    saved_ = false;
    const LoaderStats stats = loader->stats();
    if (step_ % config_->train.log_every == 0 || step_ == total_steps_) Log(report, *batch, stats);
    if (watched_.seconds() >= kVerdictSeconds) SayVerdict(stats);
    ShowProgress(report);
  }
  EndIfAnyFailed();
  SayEnd();
  RefuseADivergedEnd();
  return 0;
}

/// `paused`: something else was done since the last batch, which is not to count as the loader's.
std::optional<Batch> Trainer::NextBatch(std::optional<BatchLoader>& loader, bool paused,
                                        const std::stop_token& stop) {
  if (!loader) {
    loader.emplace(*data_->train, plan(), data_->lanes, step_, total_steps_, *shape_.tokenizer,
                   shape_.loader, loader_runtime_);
  }
  if (paused || step_ == first_step_) {
    for (DataWindow* window : {&logged_, &watched_}) window->Begin(loader->stats());
  }
  const double starved = loader->stats().starved_seconds;
  std::optional<Batch> batch = loader->Next(stop);
  starved_ = loader->stats().starved_seconds - starved;
  return batch;
}

void Trainer::KeepFailure(const std::function<void()>& work) {
  try {
    work();
  } catch (const CommError&) {
    throw;
  } catch (const std::exception&) {
    if (!failure_) failure_ = std::current_exception();
  }
}

/// Every rank calls it: throws on all where one has failed.
void Trainer::EndIfAnyFailed() {
  try {
    Together(comm_, [&] {
      if (failure_) std::rethrow_exception(failure_);
    });
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    SaveAndThrow(error);
  }
}

/// What failed left the state of the last whole step as it was: it is saved before the run ends.
/// Every rank calls it.
void Trainer::SaveAndThrow(const std::exception& error) {
  std::string text = ErrorText(error);
  spare_files_.clear();
  try {
    if (!saved_ && step_ > 0) Save();
    if (step_ > 0) {
      text += fmt::format("; step {} is saved: resume=true goes on from there", step_);
    }
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& second) {
    text += fmt::format("; then {}", ErrorText(second));
  }
  if (const auto* shared = dynamic_cast<const SharedError*>(&error)) {
    throw SharedError(shared->rank(), text);
  }
  throw std::runtime_error(text);
}

StopSignal::Words Trainer::StopWords() {
  const auto first = [this](int number) {
    console_.Say(fmt::format(
        "{}: saving at step {}{}", number == SIGINT ? "Ctrl-C" : strsignal(number),
        done_ + under_way_, number == SIGINT ? "; press Ctrl-C again to stop without saving" : ""));
  };
  const auto last = [this] {
    const std::int64_t saved = folder_->saved_step(), done = done_;
    console_.Say(saved == done ? fmt::format("stopped; step {} is saved", done)
                 : saved < 0
                     ? fmt::format("stopped without saving: no checkpoint was saved yet, {} lost",
                                   Counted(done, "step"))
                     : fmt::format("stopped without saving: {} lost since the newest checkpoint, "
                                   "that of step {}",
                                   Counted(done - saved, "step"), saved));
  };
  return {first, last};
}

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

/// A run whose last step came to nothing has not ended well, though its weights are sound.
void Trainer::RefuseADivergedEnd() const {
  if (refused_in_a_row_ == 0) return;
  throw std::runtime_error(fmt::format(
      "the run diverged at its end: loss or gradient was not finite in the last {}; {} holds the "
      "weights from before. A lower learning_rate.lr, a longer warm-up or train.clip_norm may help",
      refused_in_a_row_ == 1 ? "step" : Counted(refused_in_a_row_, "step"),
      folder_->last_checkpoint()));
}

/// A checkpoint of weights that are not finite would push the good ones out. Every rank calls it.
void Trainer::RefuseBrokenWeights() {
  std::string bad;
  for (const NamedTensors* tensors : {&model().parameters(), &model().buffers()}) {
    if (bad.empty()) bad = FirstNotFinite(*tensors);
  }
  for (const std::string& found : GatherTexts(comm_, bad)) {
    if (found.empty()) continue;
    throw std::runtime_error(fmt::format(
        "the weights are not finite after step {} ({} is the first): nothing was saved, and the "
        "checkpoints from before stay. The last good one is {}. A lower learning_rate.lr, a longer "
        "warm-up or train.clip_norm may help",
        step_, found, folder_->last_checkpoint().empty() ? "none" : folder_->last_checkpoint()));
  }
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

// All ranks have the same sums, and stop alike.
void Trainer::RefuseGarbage(const SkipCounts& skips) {
  // Since this start: what was mended before it is forgiven.
  SkipCounts now = skips;
  now -= skips_before_;
  const std::int64_t bad = now.total();
  const std::int64_t tried = (step_ - first_step_) * config_->train.batch_size + bad;
  const double most = config_->data.max_skips_per_mille;
  if (tried < kFewestTried ||
      1000.0 * static_cast<double>(bad) <= most * static_cast<double>(tried)) {
    return;
  }
  if (!saved_) Save();
  throw SharedError(
      0,
      fmt::format("{} of {} records tried cannot be used ({}), more than data.max_skips_per_mille "
                  "= {:g}: {}/quarantine.jsonl names them. Mend the data, or raise that key and "
                  "go on with resume=true",
                  bad, tried, DescribeSkips(now), most, config_->run));
}

bool Trainer::AnyStopped(bool mine) {
  return comm_.world_size() == 1 ? mine : AnyRank(comm_, mine);
}

// A rank that waits for data, or was told alone, must not leave the others in a collective: before
// a step that all begin without a word each had its batch in hand, and was not told, when the sums
// of the step before were made.
int Trainer::AgreedStop(const StopSignal& stop) {
  if (!AnyStopped(stop.received() != 0 || failure_ != nullptr)) return 0;
  EndIfAnyFailed();
  const auto signals = GatherNumbers(comm_, stop.received());
  return static_cast<int>(*std::ranges::max_element(signals));
}

SkipCounts Trainer::TotalSkips() {
  at::Tensor counts = at::tensor(
      std::vector<std::int64_t>(skips_.values().begin(), skips_.values().end()), at::kLong);
  comm_.AllReduceSum(counts);
  SkipCounts total{};
  std::copy_n(counts.const_data_ptr<std::int64_t>(), kSkipCauses, total.values().begin());
  return total;
}

bool Trainer::IsDue(std::int64_t every_epochs) const {
  if (step_ == 0 || step_ != plan().steps(epoch()) || every_epochs == 0) return false;
  return epoch() % every_epochs == 0 || step_ == total_steps_;
}

bool Trainer::Owes(const Evaluator& evaluator) const {
  return IsDue(evaluator.every_epochs()) && evaluator.done_at != step_;
}

bool Trainer::OwesEvaluation() const {
  return std::ranges::any_of(evaluators_, [&](const auto& evaluator) { return Owes(*evaluator); });
}

/// While an evaluation is owed, only a stop saves: a checkpoint holds its line of metrics.
bool Trainer::OwesCheckpoint() const {
  if (saved_ || step_ == 0 || OwesEvaluation()) return false;
  const std::int64_t every = config_->checkpoint.every_steps;
  return IsDue(config_->checkpoint.every_epochs) || step_ == total_steps_ ||
         (every > 0 && step_ % every == 0);
}

TensorTarget Trainer::Target() const {
  return {.device = model().logit_scale().device(),
          .dtype = model().logit_scale().scalar_type(),
          .trim_text = config_->model.trim_text};
}

StepReport Trainer::TrainOn(const Batch& batch, const std::function<bool()>& wants_talk) {
  skips_ += batch.skips();
  folder_->quarantine().Note(batch.skipped());
  gamma_ = Gamma(config_->gamma, epoch(), config_->train.epochs);
  const RunLength run{total_steps_, plan().mean_steps_per_epoch()};
  rates_ = {LearningRate(config_->learning_rate, step_, run),
            TemperatureRate(config_->temperature, config_->learning_rate, step_, run,
                            model().logit_scale())};
  const auto start = std::chrono::steady_clock::now();
  const std::vector<MicroBatch> micro =
      MicroBatchesOf(batch, static_cast<int>(config_->train.micro_batches), Target(),
                     {.share = config_->model.patch_dropout,
                      .patches = shape_.model.vision.patches(),
                      .seed = config_->train.seed,
                      .each_step = plan().repeats_records()});
  const double uploading =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (DataWindow* window : {&logged_, &watched_}) window->Uploaded(uploading);
  return learner_->step.Run({.micro = micro,
                             .indices = batch.indices(),
                             .epoch = epoch(),
                             .gamma = gamma_,
                             .rates = rates_,
                             .wants_talk = wants_talk});
}

void Trainer::CountRefusal(const StepReport& report) {
  if (report.applied) {
    refused_in_a_row_ = 0;
    return;
  }
  if (report.scale_shrank) {
    ++overflowed_;
    return;
  }
  ++refused_;
  if (++refused_in_a_row_ < kRefusedStepsInARow) return;
  throw std::runtime_error(fmt::format(
      "loss or gradient was not finite in {} steps in a row, up to step {}: nothing of them was "
      "written. The last good checkpoint is {}. A lower learning_rate.lr, a longer warm-up or "
      "train.clip_norm may help",
      kRefusedStepsInARow, step_,
      folder_->last_checkpoint().empty() ? "none" : folder_->last_checkpoint()));
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

void Trainer::Evaluate(Evaluator& evaluator, const std::stop_token& stop) {
  EvaluationResult result = evaluator.Run({.model = model(),
                                           .tokenizer = *shape_.tokenizer,
                                           .target = Target(),
                                           .comm = comm_,
                                           .console = console_,
                                           .stop = stop});
  evaluator.done_at = step_;
  RunLog* const log = folder_->log();
  if (log == nullptr) return;
  result.extra["epoch"] = epoch();
  KeepFailure([&] { log->Write(evaluator.event(), step_, result.scalars, result.extra); });
  console_.Say(fmt::format("epoch {}: {}", epoch(), result.text));
}

void Trainer::EvaluateOrSave(const std::stop_token& stop) {
  const Patience patience(comm_, config_->comm.patience);
  if (!config_->model.sync_batch_norm) BroadcastFromRank0(model().buffers());
  try {
    for (const auto& evaluator : evaluators_) {
      if (Owes(*evaluator)) Evaluate(*evaluator, stop);
    }
    saved_ = false;
  } catch (const EncodingStopped&) {
    // The run is saved without its line; a resume evaluates first.
  } catch (const SharedError& error) {  // of the evaluation's data
    SaveAndThrow(error);
  } catch (const std::exception& error) {
    if (comm_.world_size() == 1) SaveAndThrow(error);
    throw;
  }
}

/// A log that cannot be written ends the run, but is no reason not to save it.
void Trainer::SyncLogs() {
  if (RunLog* const log = folder_->log()) KeepFailure([&] { log->Sync(); });
  KeepFailure([&] { folder_->quarantine().Write(comm_); });
}

void Trainer::Save() {
  const Patience patience(comm_, config_->comm.patience);
  RefuseBrokenWeights();
  SyncLogs();
  const RunLog* const log = folder_->log();
  std::optional<GradScaler> scaler;
  if (PrecisionOf(config_->train.precision).scales_gradients) scaler = learner_->step.scaler();
  const CheckpointMeta meta{.step = step_,
                            .epoch = epoch(),
                            .order = plan().options(),
                            .data_hash = data_->train->hash(),
                            .objective = config_->objective.name,
                            .mode = config_->objective.mode,
                            .model = shape_.model.name,
                            .model_config = OpenClipJson(shape_.model),
                            .tokenizer = config_->data.tokenizer,
                            .vocabulary_hash = shape_.vocabulary_hash,
                            .scaler = scaler,
                            .skips = TotalSkips(),
                            .refused_steps = refused_,
                            .refused_in_a_row = refused_in_a_row_,
                            .overflowed_steps = overflowed_,
                            .metrics_bytes = log != nullptr ? log->metrics().length() : 0,
                            .metrics_owed = log != nullptr ? log->metrics().owed() : "",
                            .threads = at::get_num_threads(),
                            .world_size = comm_.world_size(),
                            .versions = Versions(),
                            .config = config_values_};
  CheckpointContent content{
      .model = model().parameters(), .optimizer = learner_->optimizer->state(), .state = {}};
  content.model.insert(content.model.end(), model().buffers().begin(), model().buffers().end());
  if (!learner_->objective->state_columns().empty()) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t lane = data_->lanes.first; lane < data_->lanes.last; ++lane)
      sizes.push_back(plan().lane_size(lane));
    content.state = {learner_->table.columns(), data_->lanes, sizes, learner_->table.values()};
  }
  folder_->Save(meta, content, static_cast<int>(config_->checkpoint.keep));
  saved_ = true;
}

}  // namespace fastclip
