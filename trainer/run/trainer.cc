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
#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "trainer/log/skip_limit.h"
#include "trainer/run/resume_check.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {
namespace {

constexpr int kRefusedStepsInARow = 5;
constexpr double kVerdictSeconds = 10;

UniqueFd OpenSpareFile() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

// A resume enters the same loop: evaluations and saves still due for its last step come first.
int Trainer::Run(StopSignal& stop) {
  constexpr int kFilesOfASave = 8;
  for (int i = 0; i < kFilesOfASave; ++i) spare_files_.push_back(OpenSpareFile());
  done_ = step_;
  const struct Attention {  // the callbacks use this trainer
    Attention(StopSignal& signal, StopSignal::Words words) : stop(signal) {
      stop.Attend(std::move(words));
    }
    ~Attention() { stop.Attend(); }
    StopSignal& stop;
  } attention(stop, StopWords());
  try {
    return RunSteps(stop);
  } catch (const SharedError& error) {
    console_log_.Add(PrintableLines(fmt::format("error: {}", error.what())));
    SayBadData();
    throw;
  } catch (const std::exception& error) {
    console_log_.Add(PrintableLines(fmt::format("error: {}", ErrorText(error))));
    if (comm_.world_size() == 1) {
      SayBadData();
      SayUnlessSaved();
    }
    throw;
  }
}

int Trainer::RunSteps(StopSignal& stop) {
  first_step_ = step_;
  const std::size_t unsettled = learner_->reads_late() ? 1 : 0;
  clock_ = RunClock();  // opening the data is no training time
  const struct Ending {
    ~Ending() {
      trainer.enqueued_.clear();
      trainer.loader_.reset();
    }
    Trainer& trainer;
  } ending{*this};
  for (;;) {
    comm_.AtStep(step_);
    if (comm_.world_size() == 1 || to_talk_) AdvanceSave();
    const bool pauses = OwesEvaluation() || OwesCheckpoint();
    if (pauses) SettleSteps(0);
    clock_.Pause([&] {
      if (OwesEvaluation()) EvaluateOrSave(stop.token());
      if (OwesCheckpoint()) {
        Save(step_ < total_steps_ && config_->checkpoint.async
                 ? CheckpointWriter::How::kInBackground
                 : CheckpointWriter::How::kAtOnce);
      }
    });
    const bool talk = comm_.world_size() == 1 || to_talk_ || pauses;  // the same on all ranks
    if (step_ >= total_steps_ && !OwesEvaluation()) break;
    std::optional<Batch> batch;
    KeepFailure([&] {
      // Without talk the others start the step at once, and this rank has its batch ready.
      if (step_ < total_steps_ && !(talk && failure_)) {
        batch = NextBatch(pauses, talk ? stop.token() : std::stop_token());
      }
    });
    if (const int signal = talk ? AgreedStop(stop) : 0; signal != 0) {
      EnsureSaved();
      EndIfAnyFailed();
      console_.Say(fmt::format("stopped at step {} of {}; continue with {} {} resume=true", step_,
                               total_steps_, SuggestedCommand("train"), ShellWord(config_->run)));
      SayWorstShards();
      return signal;
    }
    if (!batch && failure_) std::rethrow_exception(failure_);
    if (!batch) throw std::logic_error("the loader ended before the run");
    const auto wants_talk = [&] {
      return stop.received() != 0 || failure_ != nullptr ||
             !loader_->HasNext(static_cast<int>(unsettled) + 1) || folder_->checkpoints().HasNews();
    };
    under_way_ = 1;
    TryStep(std::move(*batch), wants_talk);
    done_ = ++step_;
    under_way_ = 0;
    saved_ = false;
    SettleSteps(step_ == total_steps_ ? 0 : unsettled);
  }
  EndIfAnyFailed();
  SayEnd();
  RefuseADivergedEnd();
  return 0;
}

/// `paused`: other work was done since the last batch, which must not count as the loader's time.
std::optional<Batch> Trainer::NextBatch(bool paused, const std::stop_token& stop) {
  if (!loader_) {
    loader_.emplace(*data_->train, plan(), data_->lanes, step_, total_steps_, *shape_.tokenizer,
                    shape_.loader, loader_runtime_);
    console_.Busy("reading the first batch …");
  }
  if (paused || step_ == first_step_) {
    for (DataWindow* window : {&logged_, &watched_}) window->Begin(loader_->stats());
  }
  const double starved = loader_->stats().starved_seconds;
  std::optional<Batch> batch = loader_->Next(stop);
  starved_ = loader_->stats().starved_seconds - starved;
  if (step_ == first_step_) console_.Busy("computing the first step …");
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

/// A collective: throws on all ranks if one has failed.
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

StopSignal::Words Trainer::StopWords() {
  const auto first = [this](int number) {
    // Several ranks agree on the step, which may be one or two later.
    console_.Say(
        fmt::format("{}: saving at step {}{}{}", number == SIGINT ? "Ctrl-C" : strsignal(number),
                    done_ + under_way_, comm_.world_size() == 1 ? "" : " or soon after",
                    number == SIGINT ? "; press Ctrl-C again to stop without saving" : ""));
  };
  const auto last = [this] {
    const std::int64_t saved = folder_->checkpoints().saved_step(), done = done_;
    console_.Say(saved == done ? fmt::format("stopped; step {} is saved", done)
                 : saved < 0
                     ? fmt::format("stopped without saving: no checkpoint was saved yet, {} lost",
                                   Counted(done, "step"))
                     : fmt::format("stopped without saving: {} lost since the newest checkpoint "
                                   "(step {})",
                                   Counted(done - saved, "step"), saved));
  };
  return {first, last};
}

/// A run whose last steps were refused is a failure, although its weights are valid.
void Trainer::RefuseADivergedEnd() const {
  if (refused_in_a_row_ == 0) return;
  throw std::runtime_error(fmt::format(
      "the run diverged: loss or gradient was not finite in the last {}; last good checkpoint: {}. "
      "Try a lower learning_rate.lr, a longer warmup or train.clip_norm",
      refused_in_a_row_ == 1 ? "step" : Counted(refused_in_a_row_, "step"),
      folder_->checkpoints().last()));
}

// All ranks have the same sums, those of the steps up to `step`, and make the same decision.
void Trainer::RefuseGarbage(const SkipCounts& skips, std::int64_t step) {
  // Counts from this start, so that data repaired since does not count.
  SkipCounts now = skips;
  now -= skips_before_;
  const std::int64_t bad = now.total();
  const std::int64_t tried = (step - first_step_) * config_->train.batch_size + bad;
  const double most = config_->data.max_skips_per_mille;
  if (!TooManyBad({.bad = bad, .tried = tried, .records = data_->train->size()}, most)) return;
  EnsureSaved();
  throw SharedError(
      0,
      fmt::format(
          "{} of {} reads gave a record that was skipped ({}), more than data.max_skips_per_mille "
          "= {:g}; see {}/quarantine.jsonl. Repair the data, or raise that key: {}",
          bad, tried, DescribeSkips(now), most, config_->run,
          HowToResume(*config_, "data.max_skips_per_mille")));
}

bool Trainer::AnyStopped(bool mine) {
  return comm_.world_size() == 1 ? mine : AnyRank(comm_, mine);
}

// A rank that waits for data or got a signal must not leave the others in a collective. All start a
// step without talk only if, at the previous step's sums, each had its batch ready and no signal.
int Trainer::AgreedStop(const StopSignal& stop) {
  if (!AnyStopped(stop.received() != 0 || failure_ != nullptr)) return 0;
  SettleSteps(0);
  if (failure_) loader_.reset();  // frees its memory and files for the save
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
          .trim_text = config_->model.trim_text,
          .length_groups = config_->train.length_groups,
          .channels_last = config_->train.channels_last,
          .labels = config_->adapt.classifies()};
}

LearningRates Trainer::RatesOfStep() const {
  const RunLength run{total_steps_, plan().mean_steps_per_epoch()};
  LearningRates rates{.model = LearningRate(config_->learning_rate, step_, run),
                      .tau = TemperatureRate(config_->temperature, config_->learning_rate, step_,
                                             run, logit_scale_)};
  const at::Tensor& logit_scale = model().logit_scale();
  if (!logit_scale.is_cpu() && logit_scale.requires_grad() &&
      RateReadsTemperature(config_->temperature)) {
    rates.tau_on_device =
        TemperatureRateOnDevice(config_->temperature, config_->learning_rate, logit_scale);
  }
  return rates;
}

std::vector<MicroBatch> Trainer::MicroBatchesFor(const Batch& batch,
                                                 const TensorTarget& target) const {
  return MicroBatchesOf(batch, static_cast<int>(config_->train.micro_batches), target,
                        {.share = config_->model.patch_dropout,
                         .patches = shape_.model.vision.patches(),
                         .seed = config_->train.seed,
                         .each_step = plan().repeats_records()});
}

void Trainer::EnqueueStep(Batch batch, const std::function<bool()>& wants_talk) {
  const double gamma = Gamma(config_->gamma, epoch(), config_->train.epochs);
  const LearningRates rates = RatesOfStep();
  const auto start = std::chrono::steady_clock::now();
  TensorTarget target = Target();
  target.non_blocking = true;  // the batch lives until the step's results are read
  target.copies = copies_;
  const std::vector<MicroBatch> micro = MicroBatchesFor(batch, target);
  const double uploading =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (DataWindow* window : {&logged_, &watched_}) window->Uploaded(uploading);
  LateReport report = learner_->step.Enqueue(
      {.micro = micro,
       .indices = batch.indices(),
       .epoch = epoch(),
       .draw = Mix(config_->train.seed, static_cast<std::uint64_t>(RandomStream::kDropout),
                   static_cast<std::uint64_t>(step_)),
       .gamma = gamma,
       .rates = rates,
       .wants_talk = wants_talk});
  enqueued_.push_back({.batch = std::move(batch),
                       .report = std::move(report),
                       .step = step_ + 1,
                       .gamma = gamma,
                       .lr = rates.model,
                       .starved = starved_});
}

/// Reads the results of all steps but the last `unsettled`.
void Trainer::SettleSteps(std::size_t unsettled) {
  while (enqueued_.size() > unsettled) SettleStep();
}

void Trainer::SettleStep() {
  const EnqueuedStep enqueued = std::move(enqueued_.front());
  enqueued_.pop_front();
  const Batch& batch = enqueued.batch;
  const DoneStep done{.report = enqueued.report(),
                      .step = enqueued.step,
                      .epoch = batch.epoch(),
                      .gamma = enqueued.gamma,
                      .lr = enqueued.lr};
  to_talk_ = done.report.to_talk;
  logit_scale_ = done.report.logit_scale;
  skips_ += batch.skips();
  folder_->quarantine().Note(batch.skipped());
  clock_.StepDone(config_->train.batch_size, enqueued.starved);
  CountRefusal(done);
  const LoaderStats stats = loader_->stats();
  if (done.step % config_->train.log_every == 0 || done.step == total_steps_) Log(done, stats);
  if (watched_.seconds() >= kVerdictSeconds) SayVerdict(stats);
  ShowProgress(done);
}

void Trainer::CountRefusal(const DoneStep& done) {
  if (done.report.applied) {
    refused_in_a_row_ = 0;
    return;
  }
  if (done.report.scale_shrank) {
    ++overflowed_;
    return;
  }
  ++refused_;
  if (++refused_in_a_row_ < kRefusedStepsInARow) return;
  FinishSave();  // all ranks are here
  throw std::runtime_error(fmt::format(
      "loss or gradient was not finite in {} steps in a row, up to step {}; these steps were not "
      "applied. Last good checkpoint: {}. Try a lower learning_rate.lr, a longer warmup or "
      "train.clip_norm",
      kRefusedStepsInARow, done.step, LastCheckpoint()));
}

}  // namespace fastclip
