#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/counted_communicator.h"
#include "pipeline/base/console.h"
#include "pipeline/files/file.h"
#include "pipeline/loader/batch_loader.h"
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
#include "trainer/run/stop_signal.h"
#include "trainer/state/start_weights.h"
#include "trainer/step/learner.h"

namespace fastclip {

/// A run: epochs of steps with their schedules, evaluation, checkpoints, stop and resume.
///
/// All that a step depends on is a function of its number, the config and the checkpointed state,
/// so a resumed run repeats an uninterrupted one.
class Trainer {
 public:
  /// Opens data, model and run folder, and the checkpoint to go on from. Every check that can be
  /// made before the first step is made here: throws ConfigError or std::runtime_error.
  ///
  /// Every rank makes one, with the same config, and runs it; only rank 0 prints and writes
  /// metrics. `device` holds model, optimizer and features; the sample table stays on the CPU.
  Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm,
          at::Device device = at::kCPU);

  /// Trains to the end, or until a signal asks one of the ranks to stop: then all save after the
  /// last whole step, even where they wait for data or evaluate. Returns the signal, or 0.
  ///
  /// Where a batch cannot be made, an evaluation not be done or a log not be written, all save the
  /// last whole step too, and throw what was wrong (several ranks: SharedError) and what was saved.
  int Run(StopSignal& stop);

 private:
  int RunSteps(StopSignal& stop);
  std::optional<Batch> NextBatch(std::optional<BatchLoader>& loader, bool paused,
                                 const std::stop_token& stop);
  /// Runs `work`. What it throws on this rank, all hear of before the next step.
  void KeepFailure(const std::function<void()>& work);
  void EndIfAnyFailed();
  [[noreturn]] void SaveAndThrow(const std::exception& error);
  StopSignal::Words StopWords();
  // Opening a run, in this order.
  void LockFolder();
  void RefuseUnlikeData();
  void OpenRun(const std::string& command);
  void SayWhatWillNotFit();
  void SayWhatItIs();
  void SayRanks();
  void BroadcastFromRank0(const NamedTensors& tensors);
  /// `resumed`: of the checkpoint that the run goes on from, or a new run's.
  void StartLogs(const std::string& command, const CheckpointMeta& resumed);
  TrainConfig UsedConfig() const;
  void Resume(const FoundCheckpoint& found);
  void StartFromWeights();
  void SetTemperature(const StartTemperature& start);
  void TakeEstimatorsOf(const std::string& weights);
  void TakeEstimators(const std::string& file);
  void SayIfEstimatorsAreLost();
  /// The signal that some rank got, or 0: agreed.
  int AgreedStop(const StopSignal& stop);
  bool AnyStopped(bool mine);
  SkipCounts TotalSkips();
  void RefuseGarbage(const SkipCounts& skips);
  void SayEnd();
  std::string DescribeBadRecords();
  void RefuseADivergedEnd() const;
  void RefuseBrokenWeights();
  void SayWorstShards();
  void SayBadData();
  TensorTarget Target() const;
  StepReport TrainOn(const Batch& batch, const std::function<bool()>& wants_talk);
  void CountRefusal(const StepReport& report);
  double Tau(const StepReport& report) const;
  void Log(const StepReport& report, const Batch& batch, const LoaderStats& stats);
  void WriteMetrics(const StepReport& report, const Batch& batch, const LoaderStats& stats,
                    const SkipCounts& skips);
  void SayVerdict(const LoaderStats& stats);
  void ShowProgress(const StepReport& report);
  bool Owes(const Evaluator& evaluator) const;
  bool OwesEvaluation() const;
  bool OwesCheckpoint() const;
  void Evaluate(Evaluator& evaluator, const std::stop_token& stop);
  void EvaluateOrSave(const std::stop_token& stop);
  void Save();
  void SyncLogs();
  /// Whether `step_` ends an epoch after which something is due that comes every so many epochs.
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
  std::optional<RunFolder> folder_;  // what follows is made by the constructor's steps
  std::optional<OpenedData> data_;
  std::optional<Learner> learner_;
  std::vector<std::unique_ptr<Evaluator>> evaluators_;
  std::optional<StartTemperature> start_temperature_;  // of a run that starts anew
  std::optional<TrainConfig> resumed_;                 // of another: what it is computed with

  std::int64_t step_ = 0;  // steps done
  std::int64_t total_steps_ = 0;
  LearningRates rates_;          // of the last step
  double gamma_ = 1;             // of the last step
  SkipCounts skips_{};           // of this rank; rank 0's begin with those of all before a resume
  SkipCounts skips_before_{};    // of all ranks, before this start
  std::int64_t replaced_ = 0;    // of all ranks, at the last line of metrics
  std::int64_t first_step_ = 0;  // of this start
  std::int64_t overflowed_ = 0;  // steps that a too large gradient scale cost
  std::int64_t refused_ = 0;
  std::int64_t refused_in_a_row_ = 0;
  bool saved_ = false;                 // the last checkpoint holds all up to here
  std::exception_ptr failure_;         // of this rank, which others have not heard of yet
  double starved_ = 0;                 // seconds that the last batch was waited for
  std::vector<UniqueFd> spare_files_;  // so that a run which has too many files open can be saved

  // For the thread of StopSignal.
  std::atomic<std::int64_t> done_{0};       // as step_
  std::atomic<std::int64_t> under_way_{0};  // 1 while a step is computed

  RunClock clock_;
  DataWindow logged_;   // since the last line of metrics
  DataWindow watched_;  // since the last verdict
  Bottleneck said_ = Bottleneck::kTraining;
};

}  // namespace fastclip
