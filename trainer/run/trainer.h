#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/counted_communicator.h"
#include "pipeline/base/console.h"
#include "pipeline/files/file.h"
#include "pipeline/loader/batch_loader.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapters/adapter.h"
#include "trainer/config/config.h"
#include "trainer/config/config_changes.h"
#include "trainer/log/console_log.h"
#include "trainer/run/data_window.h"
#include "trainer/run/evaluator.h"
#include "trainer/run/opened_data.h"
#include "trainer/run/ranks.h"
#include "trainer/run/run_clock.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"
#include "trainer/run/stop_signal.h"
#include "trainer/state/start_weights.h"
#include "trainer/step/learner.h"

namespace fastclip {

/// A run: epochs of steps with their schedules, evaluation, checkpoints, stop and resume.
///
/// A step depends only on its number, the config and the checkpointed state, so a resumed run gives
/// the same results as an uninterrupted one.
class Trainer {
 public:
  /// Opens data, model, run folder and the checkpoint to resume from. All checks that are possible
  /// before the first step are done here: throws ConfigError or std::runtime_error.
  ///
  /// Every rank creates one with the same config and runs it; only rank 0 prints and writes
  /// metrics. `device` holds model, optimizer and features, and the sample table if train.state
  /// says so.
  Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm,
          at::Device device = at::kCPU);

  /// Trains to the end, or until any rank gets a signal: then all ranks save after the last
  /// complete step, even while they wait for data or evaluate. Returns the signal, or 0.
  ///
  /// If a batch, an evaluation or a log fails, all ranks save the last complete step, then throw
  /// the error and what was saved (with several ranks: SharedError).
  int Run(StopSignal& stop);

 private:
  /// A step whose results the host has not read yet. Its batch lives until then.
  struct EnqueuedStep {
    Batch batch;
    LateReport report;
    std::int64_t step;  // as step_ after it
    double gamma;
    double lr;
    double starved;  // seconds waited for the batch
  };
  struct DoneStep {
    StepReport report;
    std::int64_t step, epoch;
    double gamma, lr;
  };

  int RunSteps(StopSignal& stop);
  std::optional<Batch> NextBatch(bool paused, const std::stop_token& stop);
  /// Runs `work`; an error on this rank is shared with all before the next step.
  void KeepFailure(const std::function<void()>& work);
  void EndIfAnyFailed();
  [[noreturn]] void SaveAndThrow(const std::exception& error);
  StopSignal::Words StopWords();
  // Opening a run, in this order.
  void Start(const std::string& command, at::Device device);
  void LockFolder();
  void RefuseUnlikeData();
  void OpenRun(const std::string& command);
  void PlaceState();
  void SayWhatWillNotFit();
  void SayWhatItIs();
  void SayRanks();
  void BroadcastFromRank0(const NamedTensors& tensors);
  /// `resumed`: the meta of the checkpoint to resume from, or of a new run.
  void StartLogs(const std::string& command, const CheckpointMeta& resumed);
  TrainConfig UsedConfig() const;
  void Resume(const FoundCheckpoint& found);
  void StartFromWeights();
  std::string FindInit();
  StartTemperature LoadBase(const std::string& init);
  void StartZeroShotHead();
  void CheckClasses(const Adapter& adapter, const std::string& where) const;
  void ChooseTrainedColumns();
  std::map<std::string, ColumnStatistics> MeasureColumns(CalibrationNeed need);
  void SetLogitScale(const StartTemperature& start);
  void SetTemperature(const StartTemperature& start);
  void TakeEstimatorsOf(const std::string& weights);
  void TakeEstimators(const std::string& file);
  void SayIfEstimatorsAreLost();
  /// Signal received by any rank (all ranks return the same), or 0.
  int AgreedStop(const StopSignal& stop);
  bool AnyStopped(bool mine);
  SkipCounts TotalSkips();
  void RefuseGarbage(const SkipCounts& skips, std::int64_t step);
  void SayEnd();
  std::string DescribeBadRecords();
  void RefuseADivergedEnd() const;
  void RefuseBrokenWeights();
  void SayWorstShards();
  void SayBadData();
  void SayUnlessSaved();
  TensorTarget Target() const;
  LearningRates RatesOfStep() const;
  std::vector<MicroBatch> MicroBatchesFor(const Batch& batch, const TensorTarget& target) const;
  void EnqueueStep(Batch batch, const std::function<bool()>& wants_talk);
  void TryStep(Batch batch, const std::function<bool()>& wants_talk);
  void SettleSteps(std::size_t unsettled);
  void SettleStep();
  void CountRefusal(const DoneStep& done);
  void Log(const DoneStep& done, const LoaderStats& stats);
  void WriteMetrics(const DoneStep& done, const LoaderStats& stats, const SkipCounts& skips);
  void SayVerdict(const LoaderStats& stats);
  void ShowProgress(const DoneStep& done);
  bool Owes(const Evaluator& evaluator) const;
  bool OwesEvaluation() const;
  bool OwesCheckpoint() const;
  void Evaluate(Evaluator& evaluator, const std::stop_token& stop);
  void EvaluateOrSave(const std::stop_token& stop);
  CheckpointSpace Space() const;
  void SayIfSpaceIsShort();
  void Save(CheckpointWriter::How how);
  void AdvanceSave();
  void FinishSave();
  void AwaitSave();
  /// If `save` fails, saves the last step at once and throws.
  void OrSaveAndThrow(const std::function<void()>& save);
  void EnsureSaved();
  CheckpointMeta MetaNow();
  CheckpointContent ContentNow() const;
  std::string LastCheckpoint() const;
  void SyncLogs();
  /// Whether something that is due every `every_epochs` epochs is due at `step_`.
  bool IsDue(std::int64_t every_epochs) const;
  const OrderPlan& plan() const { return data_->plan; }
  const ClipModel& model() const { return learner_->model; }
  std::int64_t epoch() const { return plan().EpochOf(step_); }

  const LoadedConfig& config_;
  ConfigValues config_values_;  // of the resolved config
  CountedCommunicator comm_;
  ConsoleLog console_log_;
  Console console_;
  RunShape shape_;
  LoaderRuntime loader_runtime_;
  std::optional<RunFolder> folder_;  // this and the following are set by the constructor's steps
  std::optional<OpenedData> data_;
  std::optional<Learner> learner_;
  std::vector<std::unique_ptr<Evaluator>> evaluators_;
  std::string base_hash_;  // BaseHash() of the weights that the tuners belong to
  std::optional<StartTemperature> start_temperature_;  // of a new run
  std::optional<TrainConfig> resumed_;                 // of a resumed run: the config in use

  std::optional<BatchLoader> loader_;
  std::optional<c10::Stream> copies_;  // of a GPU
  std::deque<EnqueuedStep> enqueued_;
  bool to_talk_ = true;     // of the last report
  double logit_scale_ = 0;  // as last read by the host
  std::int64_t step_ = 0;   // steps enqueued: those done, once enqueued_ is empty
  std::int64_t total_steps_ = 0;
  SkipCounts skips_{};         // of this rank; rank 0's include those of all ranks before a resume
  SkipCounts skips_before_{};  // of all ranks, before this start
  std::int64_t replaced_ = 0;  // of all ranks, at the last line of metrics
  std::int64_t first_step_ = 0;  // of this start
  std::int64_t overflowed_ = 0;  // steps lost to a too large gradient scale
  std::int64_t refused_ = 0;
  std::int64_t refused_in_a_row_ = 0;
  bool saved_ = false;  // the last checkpoint, or the one being written, is up to date
  bool said_no_copy_ = false;
  bool said_short_space_ = false;
  std::exception_ptr failure_;  // of this rank, not yet shared with the others
  double starved_ = 0;          // seconds waited for the last batch
  std::vector<UniqueFd>
      spare_files_;  // closed before a save, in case the process has too many open files

  // Read by the thread of StopSignal.
  std::atomic<std::int64_t> done_{0};       // as step_
  std::atomic<std::int64_t> under_way_{0};  // 1 while a step is computed

  RunClock clock_;
  DataWindow logged_;   // since the last line of metrics
  DataWindow watched_;  // since the last verdict
  Bottleneck said_ = Bottleneck::kTraining;
};

}  // namespace fastclip
