#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "trainer/base/precision.h"
#include "trainer/config/config.h"
#include "trainer/model/clip_model.h"
#include "trainer/optim/learning_rate.h"
#include "trainer/optim/optimizer.h"
#include "trainer/state/start_weights.h"

namespace fastclip {

/// What a start checks before it reads data, and what a dry run checks in its place.

/// Refuses a run folder in which a new run would destroy an old one: it holds checkpoints, or the
/// metrics of a run whose checkpoints are gone. Nothing is refused with resume=true. Throws
/// ConfigError.
void RefuseTakenFolder(const TrainConfig& config);

/// Whether the weights that a run starts from, if any, have its model's names and shapes. Throws
/// std::runtime_error.
void CheckFit(const StartWeights& start, const ModelConfig& model);

/// What of a config does not fit the length of the run: a warm-up that does not end, say. Lines for
/// the user.
std::vector<std::string> ScheduleWarnings(const TrainConfig& config, const RunLength& run);

double BytesOf(const NamedTensors& tensors);
/// Of the per-sample state of all records.
double StateBytes(const ContrastiveObjective& objective, const OrderPlan& plan,
                  const Precision& precision);
double CheckpointBytes(const ClipModel& model, const Optimizer& optimizer,
                       const ContrastiveObjective& objective, const OrderPlan& plan,
                       const Precision& precision);

/// What a run needs of a disk: `keep` checkpoints, and the next one beside them until the oldest
/// is removed.
struct CheckpointSpace {
  double checkpoint_bytes = 0;
  std::int64_t keep = 0;
  std::int64_t present = 0;  ///< checkpoints that are there and give their place to later ones
  double free_bytes = 0;
};
/// A warning where the disk will be full before the run ends, or "". Throws std::runtime_error
/// where not even the next checkpoint fits.
std::string CheckSpace(const CheckpointSpace& space, const std::string& folder);
/// The space where a run folder is, or will be made.
CheckpointSpace SpaceOf(const TrainConfig& config, double checkpoint_bytes);

/// Whether a run folder can be made or written to, and no other process trains in it. Writes
/// nothing. Throws std::runtime_error.
void CheckRunFolder(const std::string& folder);

/// "5.4 GB".
std::string DescribeBytes(double bytes);

}  // namespace fastclip
