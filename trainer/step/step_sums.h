#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/model/clip_model.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/step/gradient_reducer.h"
#include "trainer/step/step_work.h"

namespace fastclip {

/// `factor`: 0-d float64, or undefined for 1.
void ScaleGradients(const std::vector<at::Tensor>& gradients, const at::Tensor& factor);

/// A step's scalars on their way through the sums over the ranks.
class StepSums {
 public:
  StepSums() = default;
  /// Adds what the objective gave, as gradients are `scale` times too large, and the wish to talk,
  /// 0-d float64.
  StepSums(GradientReducer::Pass& pass, const ObjectiveResult& result, const at::Tensor& scale,
           const at::Tensor& talk);

  at::Tensor loss(const at::Tensor& sums) const { return sums[loss_]; }
  /// Gives the parameters that no tower has their gradients.
  void GiveGradients(const at::Tensor& sums, const ClipModel& model) const;
  /// `sums`: the sums on the host.
  StepReport Report(const std::vector<double>& sums, std::int64_t batch_size) const;

 private:
  std::optional<std::int64_t> scale_gradient_, bias_gradient_, log_u_, tau_, visits_;
  std::int64_t loss_ = 0, contrastive_ = 0, accuracy_ = 0, talk_ = 0;
};

/// What a step leaves on its device for the report.
struct StepOutcome {
  StepSums places;        ///< in the sums
  at::Tensor values;      ///< [n] float64: the sums, then what else the report has
  std::int64_t sums = 0;  ///< how many of them
};

}  // namespace fastclip
