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
#include "trainer/eval/encode_set.h"
#include "trainer/eval/gather_set.h"
#include "trainer/eval/retrieval.h"
#include "trainer/model/presets.h"
#include "trainer/run/metrics.h"
#include "trainer/run/run_setup.h"
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
    loader.emplace(*source_, plan_, lanes_, step_, total_steps_, *tokenizer_, loader_options_,
                   loader_runtime_);
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
    const std::int64_t saved = saved_step_, done = done_;
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
  std::string line =
      fmt::format("{}: {}; {}; skips: {}", refused_in_a_row_ == 0 ? "done" : "ended",
                  Counted(step_, "step"), last_checkpoint_, skips.empty() ? "none" : skips);
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
      refused_in_a_row_ == 1 ? "step" : Counted(refused_in_a_row_, "step"), last_checkpoint_));
}

/// A checkpoint of weights that are not finite would push the good ones out. Every rank calls it.
void Trainer::RefuseBrokenWeights() {
  std::string bad;
  for (const NamedTensors* tensors : {&model_.parameters(), &model_.buffers()}) {
    if (bad.empty()) bad = FirstNotFinite(*tensors);
  }
  for (const std::string& found : GatherTexts(comm_, bad)) {
    if (found.empty()) continue;
    throw std::runtime_error(fmt::format(
        "the weights are not finite after step {} ({} is the first): nothing was saved, and the "
        "checkpoints from before stay. The last good one is {}. A lower learning_rate.lr, a longer "
        "warm-up or train.clip_norm may help",
        step_, found, last_checkpoint_.empty() ? "none" : last_checkpoint_));
  }
}

void Trainer::SayWorstShards() {
  for (const std::string& shard : quarantine_->WorstShards(kWorstShards)) {
    console_.Say("  " + shard);
  }
}

/// When the run dies, of its data as like as not: all that was found bad is written down, be it on
/// the way to a batch that never came (but for what is missing or changed, which nobody keeps).
/// Every rank calls it.
void Trainer::SayBadData() {
  try {
    quarantine_->NoteKnown();
    quarantine_->Write(comm_);
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
  if (step_ == 0 || step_ != plan_.steps(epoch()) || every_epochs == 0) return false;
  return epoch() % every_epochs == 0 || step_ == total_steps_;
}

bool Trainer::OwesRetrieval() const {
  return val_source_ && IsDue(config_->eval.every_epochs) && retrieval_at_ != step_;
}

bool Trainer::OwesZeroShot() const {
  return zeroshot_.source && IsDue(config_->eval.zeroshot_every_epochs) && zeroshot_at_ != step_;
}

/// While an evaluation is owed, only a stop saves: a checkpoint holds its line of metrics.
bool Trainer::OwesCheckpoint() const {
  if (saved_ || step_ == 0 || OwesEvaluation()) return false;
  const std::int64_t every = config_->checkpoint.every_steps;
  return IsDue(config_->checkpoint.every_epochs) || step_ == total_steps_ ||
         (every > 0 && step_ % every == 0);
}

TensorTarget Trainer::Target() const {
  return {.device = model_.logit_scale().device(),
          .dtype = model_.logit_scale().scalar_type(),
          .trim_text = config_->model.trim_text};
}

StepReport Trainer::TrainOn(const Batch& batch, const std::function<bool()>& wants_talk) {
  skips_ += batch.skips();
  quarantine_->Note(batch.skipped());
  gamma_ = Gamma(config_->gamma, epoch(), config_->train.epochs);
  const RunLength run{total_steps_, plan_.mean_steps_per_epoch()};
  rates_ = {LearningRate(config_->learning_rate, step_, run),
            TemperatureRate(config_->temperature, config_->learning_rate, step_, run,
                            model_.logit_scale())};
  const auto start = std::chrono::steady_clock::now();
  const std::vector<MicroBatch> micro =
      MicroBatchesOf(batch, static_cast<int>(config_->train.micro_batches), Target(),
                     {.share = config_->model.patch_dropout,
                      .patches = model_config_.vision.patches(),
                      .seed = config_->train.seed,
                      .each_step = plan_.repeats_records()});
  const double uploading =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (DataWindow* window : {&logged_, &watched_}) window->Uploaded(uploading);
  return train_step_.Run({.micro = micro,
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
      kRefusedStepsInARow, step_, last_checkpoint_.empty() ? "none" : last_checkpoint_));
}

double Trainer::Tau(const StepReport& report) const {
  return std::isnan(report.tau_mean) ? std::exp(-model_.logit_scale().item<double>())
                                     : report.tau_mean;
}

void Trainer::Log(const StepReport& report, const Batch& batch, const LoaderStats& stats) {
  const SkipCounts skips = TotalSkips();
  described_skips_ = DescribeSkips(skips);
  if (log_) KeepFailure([&] { WriteMetrics(report, batch, stats, skips); });
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
  log_->Write("train", step_, scalars,
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

EncodeOptions Trainer::EncodeForEval(const char* what, std::int64_t total,
                                     const std::stop_token& stop) {
  return {.batch_size = static_cast<int>(config_->eval.batch_size),
          .target = Target(),
          .loader = config_->pipeline,
          .progress =
              [this, what, total](std::int64_t done) {
                if (console_.StatusDue())
                  console_.Status(fmt::format("{}: {} of {} records", what, done, total));
              },
          .stop = stop};
}

void Trainer::Evaluate(const std::stop_token& stop) {
  const SetShare share = ShareOf(val_source_->size(), comm_.rank(), comm_.world_size());
  const std::int64_t records = ToInt(share.last) - ToInt(share.first);
  EncodedSet mine;
  bool stopped = false;
  Together(comm_, [&] {
    try {
      mine = EncodeSet(model_, *val_source_, share.first, share.last, *tokenizer_,
                       EncodeForEval("evaluating", records, stop));
    } catch (const EncodingStopped&) {
      stopped = true;
    }
  });
  if (AnyStopped(stopped)) throw EncodingStopped();
  const EncodedSet set = GatherSet(mine, comm_);
  RetrievalMetrics metrics;
  Together(comm_, [&] {
    metrics = ComputeRetrieval(set.features.image, set.features.text, set.caption_row);
  });
  retrieval_at_ = step_;
  if (!log_) return;
  KeepFailure([&] {
    log_->Write("retrieval", step_, NamedRetrieval(metrics),
                {{"epoch", epoch()},
                 {"images", metrics.images},
                 {"captions", metrics.captions},
                 {"skips", NamedSkips(set.skips)}});
  });
  std::string captions;
  if (val_source_->texts_of_several_lines() > 0) {
    captions = fmt::format(", {}: {}", Counted(metrics.captions, "caption"),
                           DescribeLines(OtherSourceOf(*config_).caption_lines));
  }
  console_.Say(
      fmt::format("epoch {}: image to text R@1 {:.3f} R@10 {:.3f}, text to image R@1 {:.3f} R@10 "
                  "{:.3f} ({}{})",
                  epoch(), metrics.image_to_text.recall_1, metrics.image_to_text.recall_10,
                  metrics.text_to_image.recall_1, metrics.text_to_image.recall_10,
                  Counted(metrics.images, "picture"), captions));
}

void Trainer::EvaluateOrSave(const std::stop_token& stop) {
  const Patience patience(comm_, config_->comm.patience);
  if (!config_->model.sync_batch_norm) BroadcastFromRank0(model_.buffers());
  try {
    if (OwesRetrieval()) Evaluate(stop);
    if (OwesZeroShot()) EvaluateZeroShot(stop);
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
  if (log_) KeepFailure([&] { log_->Sync(); });
  KeepFailure([&] { quarantine_->Write(comm_); });
}

void Trainer::Save() {
  const Patience patience(comm_, config_->comm.patience);
  RefuseBrokenWeights();
  SyncLogs();
  std::optional<GradScaler> scaler;
  if (PrecisionOf(config_->train.precision).scales_gradients) scaler = train_step_.scaler();
  const CheckpointMeta meta{.step = step_,
                            .epoch = epoch(),
                            .order = plan_.options(),
                            .data_hash = source_->hash(),
                            .objective = config_->objective.name,
                            .mode = config_->objective.mode,
                            .model = model_config_.name,
                            .model_config = OpenClipJson(model_config_),
                            .tokenizer = config_->data.tokenizer,
                            .vocabulary_hash = vocabulary_hash_,
                            .scaler = scaler,
                            .skips = TotalSkips(),
                            .refused_steps = refused_,
                            .refused_in_a_row = refused_in_a_row_,
                            .overflowed_steps = overflowed_,
                            .metrics_bytes = log_ ? log_->metrics().length() : 0,
                            .metrics_owed = log_ ? log_->metrics().owed() : "",
                            .threads = at::get_num_threads(),
                            .world_size = comm_.world_size(),
                            .versions = Versions(),
                            .config = config_values_};
  CheckpointContent content{
      .model = model_.parameters(), .optimizer = optimizer_->state(), .state = {}};
  content.model.insert(content.model.end(), model_.buffers().begin(), model_.buffers().end());
  if (!objective_->state_columns().empty()) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane)
      sizes.push_back(plan_.lane_size(lane));
    content.state = {table_.columns(), lanes_, sizes, table_.values()};
  }
  SaveCheckpoint(config_->run, meta, content, static_cast<int>(config_->checkpoint.keep), comm_);
  last_checkpoint_ = fmt::format("{}/checkpoints/step_{}", config_->run, step_);
  saved_step_ = step_;
  saved_ = true;
}

}  // namespace fastclip
