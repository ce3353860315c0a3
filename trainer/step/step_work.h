#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>

#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/sample_table.h"
#include "trainer/optim/optimizer.h"
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
  /// Called once, after backward was enqueued, or before the work of a recorded step: whether this rank needs all ranks to talk before their next step.
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

/// What the work of a step reads besides model, table and optimizer.
struct StepWork {
  std::span<const MicroBatch> micro;
  SampleTable::Rows rows;  ///< none without state
  StepScalars scalars;     ///< without those of the model
  LearningRates rates;
  std::uint64_t draw = 0;
  std::function<bool()> wants_talk{};
  at::Tensor talk{};           ///< if defined, its answer: 0-d float64, on the device
  bool is_carried_out = true;  ///< false: only recorded
};

}  // namespace fastclip
