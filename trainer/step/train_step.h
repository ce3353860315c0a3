#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/precision.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/sample_table.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/optim/optimizer.h"
#include "trainer/step/gradient_reducer.h"
#include "trainer/step/label_pass.h"
#include "trainer/step/recorded_step.h"
#include "trainer/step/step_sums.h"
#include "trainer/step/step_work.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// Waits for a step's results and returns them. Throws CommError if a rank is lost. Until it is
/// called or destroyed, it keeps what the device may still copy from; call it once, and keep the
/// step's batch until then.
using LateReport = std::function<StepReport()>;

struct StepOptions {
  /// Global L2 norm to clip gradients to; 0: off.
  double clip_norm = 0;
  Precision precision;
  /// Record the work and repeat it: RecordedStep, whose conditions then hold for all steps.
  bool recorded = false;
  /// Learns labels with the model's class head, which reads this, in place of pairs.
  std::optional<HeadInput> labels{};
};

/// One training step, in the order of the paper. Everything it borrows must outlive it.
class TrainStep {
 public:
  TrainStep(ClipModel& model, const ContrastiveObjective& objective, SampleTable& table,
            Optimizer& optimizer, Communicator& comm, const StepOptions& options,
            std::vector<std::int64_t> rows_per_rank);
  TrainStep(const TrainStep&) = delete;
  TrainStep& operator=(const TrainStep&) = delete;

  /// Enqueues a step. On the CPU it is then complete; on a GPU the host waits only in LateReport,
  /// so the next step can be enqueued first. The device decides whether the step is refused.
  LateReport Enqueue(const StepInput& input);
  /// The same, and waits for it.
  StepReport Run(const StepInput& input) { return Enqueue(input)(); }
  /// Forward and backward of this rank's rows and no update: gradients are added to the .grad of
  /// what requires one, not summed over ranks. Parameters, state and running statistics stay. A
  /// collective.
  void Backward(const StepInput& input);
  /// After Enqueue() has thrown: whether it had begun to write parameters or state, which are then
  /// not those of a whole step. Otherwise they are those of the step before.
  bool writing() const { return writing_; }
  /// Used and updated only with precision "amp".
  GradScaler& scaler() { return scaler_; }

 private:
  Features Gather(const PerSide<at::Tensor>& local);
  StepOutcome Compute(const StepWork& work);
  /// Both passes of the towers, and the objective between them; or the label pass. `state`: of the
  /// rows. `scale`: what gradients are multiplied with; undefined: 1.
  ObjectiveResult Backpropagate(const StepWork& work, const at::Tensor& state,
                                const at::Tensor& scale, const std::function<void()>& before_last);
  at::Tensor StateOf(const SampleTable::Rows& rows) const;

  ClipModel& model_;
  const ContrastiveObjective& objective_;
  SampleTable& table_;
  Optimizer& optimizer_;
  Communicator& comm_;
  StepOptions options_;
  std::vector<std::int64_t> rows_per_rank_;
  std::int64_t first_row_ = 0;
  std::int64_t batch_size_ = 0;
  bool writing_ = false;
  Towers towers_;
  std::optional<LabelPass> label_pass_;
  GradScaler scaler_;
  GradientReducer reducer_;
  std::optional<RecordedStep> recorded_;  // calls this step: not moved
};

}  // namespace fastclip
