#pragma once

#include "trainer/optim/grouped_optimizer.h"

namespace fastclip {

/// Lion (Chen et al. 2023) with decoupled weight decay: every element moves by the learning rate in
/// the sign of a moving average. Needs a learning rate 3 to 10 times smaller than AdamW's, and a
/// weight decay larger by the same factor. State: "step", "exp_avg.NAME". A step needs memory for
/// one extra copy of a group's parameters.
class Lion final : public GroupedOptimizer {
 public:
  Lion(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

 private:
  void Update(const Group& group, const Refusal& refusal) override;

  double beta1_, beta2_;
};

}  // namespace fastclip
