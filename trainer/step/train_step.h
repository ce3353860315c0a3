#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/precision.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/sample_table.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/optim/optimizer.h"
#include "trainer/step/gradient_reducer.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// The rows of one step on this rank.
struct StepInput {
  std::span<const MicroBatch> micro;      ///< one, or more for accumulation in two passes
  std::span<const std::int64_t> indices;  ///< [b] SampleIndex
  std::int64_t epoch = 0;
  std::uint64_t draw = 0;  ///< of the step's dropout; ranks with equal ones draw unlike masks
  double gamma = 1;
  LearningRates rates;
  /// Called once, after backward: whether this rank needs all ranks to talk before their next step.
  /// The answers are summed with the gradients; empty: never.
  std::function<bool()> wants_talk{};
};

/// Global values: the same on every rank.
struct StepReport {
  bool applied = true;           ///< false: loss or gradient not finite, nothing was written
  bool scale_shrank = false;     ///< not applied, because of the gradient scale, which was lowered
  double loss = 0;               ///< the objective's own value
  double contrastive_loss = 0;   ///< CLIP's loss on the batch; LossReport
  double in_batch_accuracy = 0;  ///< fraction of the batch's anchors that find their pair, 0 to 1
  double log_u_mean = 0;         ///< ½·mean(ln u1 + ln u2); NaN without estimators
  double tau_mean = 0;           ///< of the batch's samples; NaN if all share logit_scale
  double first_visits = 0;       ///< fraction of estimators set for the first time, 0 to 1
  double gradient_norm = 0;      ///< before clipping
  double logit_scale = 0;        ///< ln(1/τ) after the step
  double lr_tau = 0;             ///< learning rate of logit_scale in the step
  bool to_talk = false;          ///< whether any rank needs it

  /// The batch's mean τ, or the one that all samples share, after the step.
  double tau() const { return std::isnan(tau_mean) ? std::exp(-logit_scale) : tau_mean; }
};

/// Waits for a step's results and returns them. Throws CommError if a rank is lost. Until it is
/// called or destroyed, it keeps what the device may still copy from; call it once, and keep the
/// step's batch until then.
using LateReport = std::function<StepReport()>;

struct StepOptions {
  /// Global L2 norm to clip gradients to; 0: off.
  double clip_norm = 0;
  Precision precision;
};

/// One training step, in the order of the paper. Everything it borrows must outlive it.
class TrainStep {
 public:
  TrainStep(ClipModel& model, const ContrastiveObjective& objective, SampleTable& table,
            Optimizer& optimizer, Communicator& comm, const StepOptions& options,
            std::vector<std::int64_t> rows_per_rank);

  /// Enqueues a step. On the CPU it is then complete; on a GPU the host waits only in LateReport,
  /// so the next step can be enqueued first. The device decides whether the step is refused.
  LateReport Enqueue(const StepInput& input);
  /// The same, and waits for it.
  StepReport Run(const StepInput& input) { return Enqueue(input)(); }
  /// After Enqueue() has thrown: whether it had begun to write parameters or state, which are then
  /// not those of a whole step. Otherwise they are those of the step before.
  bool writing() const { return writing_; }
  /// Used and updated only with precision "amp".
  GradScaler& scaler() { return scaler_; }

 private:
  Features Gather(const PerSide<at::Tensor>& local);
  StepScalars ScalarsOf(const StepInput& input) const;

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
  GradScaler scaler_;
  GradientReducer reducer_;
};

}  // namespace fastclip
