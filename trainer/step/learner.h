#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/order/order_plan.h"
#include "trainer/config/config.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/sample_table.h"
#include "trainer/optim/optimizer.h"
#include "trainer/step/train_step.h"

namespace fastclip {

/// The model of a config, initialized on `device`; on at::kMeta it has only shapes.
/// `classes`: of its head, if the config classifies.
ClipModel MakeModel(const TrainConfig& config, const ModelConfig& model,
                    at::Device device = at::kCPU, std::int64_t classes = 0);

/// The model, its objective and per-sample state, the optimizer, and the step that updates them.
/// `comm` is borrowed.
struct Learner {
  /// `lanes`: lanes of this rank, whose rows are in the table. `device` holds model, optimizer and
  /// features; the table begins on the CPU. `classes`: as MakeModel()'s.
  Learner(const TrainConfig& config, const ModelConfig& model_config, const OrderPlan& plan,
          LaneRange lanes, std::vector<std::int64_t> rows_per_rank, Communicator& comm,
          at::Device device = at::kCPU, std::int64_t classes = 0);

  /// Whether a step's results can be read once the next step is enqueued: on a GPU. But state in
  /// host memory is read and written by the host, which then waits for each step.
  bool reads_late() const;

  ClipModel model;
  std::unique_ptr<ContrastiveObjective> objective;
  SampleTable table;
  std::unique_ptr<Optimizer> optimizer;
  TrainStep step;
};

}  // namespace fastclip
