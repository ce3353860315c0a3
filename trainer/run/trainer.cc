#include "trainer/run/trainer.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "comm/comm_error.h"
#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {
namespace {

constexpr int kRefusedStepsInARow = 5;
constexpr double kVerdictSeconds = 10;
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
  } catch (const SharedError& error) {
    console_log_.Add(fmt::format("error: {}", error.what()));
    SayBadData();
    throw;
  } catch (const std::exception& error) {
    console_log_.Add(fmt::format("error: {}", ErrorText(error)));
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
    console_.Busy("reading the first batch …");
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

/// A run whose last step came to nothing has not ended well, though its weights are sound.
void Trainer::RefuseADivergedEnd() const {
  if (refused_in_a_row_ == 0) return;
  throw std::runtime_error(fmt::format(
      "the run diverged at its end: loss or gradient was not finite in the last {}; {} holds the "
      "weights from before. A lower learning_rate.lr, a longer warm-up or train.clip_norm may help",
      refused_in_a_row_ == 1 ? "step" : Counted(refused_in_a_row_, "step"),
      folder_->last_checkpoint()));
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

}  // namespace fastclip
