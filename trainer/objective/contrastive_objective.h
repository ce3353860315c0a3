#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/objective/per_side.h"

namespace fastclip {

/// L2-normalized features of a global batch: this rank's rows and all rows.
struct Features {
  PerSide<at::Tensor> local;   ///< [b, d]
  PerSide<at::Tensor> global;  ///< [B, d]
  std::int64_t first_row = 0;  ///< index of this rank's first row in the global rows
  std::vector<std::int64_t> rows_per_rank;
};

/// Numbers of a step on its device, 0-d float64 each.
struct DeviceScalars {
  at::Tensor log_gamma, log_rest;  ///< ln γ, ln(1−γ)
  at::Tensor lr_tau;
  at::Tensor epoch;
};

/// Scalar inputs of a step.
struct StepScalars {
  at::Tensor logit_scale;  ///< 0-d, t = ln(1/τ)
  at::Tensor logit_bias;   ///< 0-d, sigmoid loss only; undefined elsewhere
  double gamma = 1;        ///< inner learning rate γ of the estimators
  double lr_tau = 0;       ///< for objectives with per-sample temperatures
  std::int64_t epoch = 0;
  /// If given, its numbers are used in place of gamma, lr_tau and epoch: work that is recorded once
  /// and repeated would keep the host's numbers of its recording.
  std::optional<DeviceScalars> on_device{};
};

/// Means over the global batch, for metrics. NaN if the objective does not have them.
struct LossReport {
  at::Tensor loss;  ///< 0-d; this rank's share: the sum over ranks is the global value. For the
                    ///< compositional objectives τ·½·mean(ln(ε+u1)+ln(ε+u2))
  /// 0-d share of CLIP's loss on the global batch, ½·mean of both directions' cross-entropies: the
  /// same quantity for every objective. For siglip its own loss, which OpenCLIP logs under this
  /// name.
  at::Tensor contrastive_loss;
  /// 0-d share of the batch's anchors, of both directions, whose positive has the highest
  /// similarity; rounding decides ties.
  at::Tensor in_batch_accuracy;
  at::Tensor log_u_mean;  ///< 0-d share of ½·mean(ln u1 + ln u2)
  at::Tensor tau_mean;    ///< 0-d share of ½·mean(τ1 + τ2); undefined if all samples share τ
  /// 0-d number of this rank's estimators that were not set or broken; undefined without state.
  at::Tensor first_visits;
};

struct ObjectiveResult {
  PerSide<at::Tensor> features;  ///< [b, d] gradient of the global mean for this rank's rows
  /// This rank's share of the gradient of parameters outside the towers, 0-d; undefined if
  /// constant.
  struct {
    at::Tensor logit_scale;  ///< dL/dt
    at::Tensor logit_bias;
  } parameters{};
  at::Tensor state;  ///< [b, columns] to write back; undefined without state
  LossReport report;
};

/// A pure function: (features, state rows, τ, γ) → gradients and new state rows.
class ContrastiveObjective {
 public:
  virtual ~ContrastiveObjective() = default;
  /// Names of the state columns, for example {"log_u_image", "log_u_text"}; empty: no state.
  virtual std::vector<std::string> state_columns() const = 0;
  /// Initial value of each column, for samples not seen yet.
  virtual std::vector<double> initial_state() const = 0;
  /// Whether logit_scale is learned, with gradient `parameters.logit_scale`.
  virtual bool learns_temperature() const = 0;
  /// Whether the model has a learned logit_bias, with gradient `parameters.logit_bias`.
  virtual bool learns_bias() const { return false; }
  virtual ObjectiveResult Evaluate(const Features& features, const at::Tensor& state,
                                   const StepScalars& scalars, Communicator& comm) const = 0;
};

struct ObjectiveOptions {
  /// One of ObjectiveNames().
  std::string name = "fastclip_v3";
  /// "reference" or "exact"; no default on purpose. derivation.md explains the difference.
  std::string mode;
  /// v2, v3, iSogCLR: the robustness constant ρ. RhoWarning() warns if it is too large. The
  /// published 6.5, 8.5 and 16 are for v3 "reference".
  double rho = 2;
  /// ε, added to u (not to ln u).
  double epsilon = 1e-14;
  /// Columns of the similarity matrix computed at once; 0: chosen from the batch. Limits memory to
  /// [b, tile]; changes only rounding.
  std::int64_t tile = 0;
  /// v2, iSogCLR: initial τ of a sample, and the decay rates and ε of Adam's step on τ. A run takes
  /// them from temperature.init and its optimizer.
  double tau_init = 0.03;
  double tau_beta1 = 0.9;
  double tau_beta2 = 0.98;
  double tau_eps = 1e-6;
};

/// fastclip_v0 … v3, sogclr, isogclr, openclip, siglip.
std::vector<std::string> ObjectiveNames();

/// Kind of temperature of an objective; kIndividual: one per sample and side.
enum class TemperatureKind { kConstant, kLearned, kIndividual };
TemperatureKind TemperatureOf(const std::string& objective);

/// Whether it minimizes something other than LossReport::contrastive_loss.
bool HasItsOwnLoss(const std::string& objective);

/// Throws std::invalid_argument with the reason and the valid values.
std::unique_ptr<ContrastiveObjective> MakeObjective(const ObjectiveOptions& options);

}  // namespace fastclip
