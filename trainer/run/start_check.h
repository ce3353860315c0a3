#pragma once

#include <cstdint>
#include <functional>
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

/// Checks of a start before it reads data, also used by a dry run.

/// Throws ConfigError if a new run would overwrite an old one: the folder has checkpoints, or the
/// metrics of a run whose checkpoints are missing. Always accepts resume=true.
void RefuseTakenFolder(const TrainConfig& config);

/// Throws std::runtime_error if the initial weights, if any, do not have the model's names and
/// shapes.
void CheckFit(const StartWeights& start, const ModelConfig& model);

/// Refuses train.cuda_graphs on a GPU for several ranks. Throws ConfigError.
void CheckRecordable(const LoadedConfig& config, int ranks, bool on_gpu);
/// Refuses it for per-sample state that train.state leaves in host memory. Throws ConfigError.
void CheckRecordedState(const LoadedConfig& config, const OrderPlan& plan, bool on_gpu);

/// Settings of a GPU run with which tools/gpu_check.sh has not yet passed on a GPU:
/// "train.cuda_graphs = true is not …".
std::vector<std::string> UnprovedKeys(const TrainConfig& config, bool on_gpu);

struct Remark {
  const char* kind;  ///< "note" or "warning"
  std::string text;
};
/// What there is to say about settings: keys without effect, UnprovedKeys(), settings that are
/// rarely meant, and ranks that outnumber the cores of this host.
std::vector<Remark> RemarksOn(const LoadedConfig& config, bool on_gpu);

/// What a load (waiting and running threads, mean of a minute) means for training on the CPU of a
/// host with `cores`; "" unless it is more than two a core.
std::string DescribeLoad(double load, std::int64_t cores);
/// The same of this host, for a run on the CPU.
std::string BusyHost(const TrainConfig& config);

/// "; gamma advice from 1 to 0.789 (in the last epoch; gamma.min is 0.784)"
std::string DescribeGamma(const GammaOptions& gamma, std::int64_t epochs);

/// "adamw, learning rate 0.001, schedule cosine, warmup 500 steps, weight decay 0.1, …".
std::string DescribeOptimizer(const TrainConfig& config);
/// "learned, initial 0.07; its learning rate 0.001, schedule cosine".
std::string DescribeTemperature(const TrainConfig& config, double initial);

/// "every 5 epochs and 1000 steps", "at the end".
std::string DescribeEvery(std::int64_t epochs, std::int64_t steps = 0);

/// Warnings about schedules that are longer than the run, such as a warmup that does not end.
std::vector<std::string> ScheduleWarnings(const TrainConfig& config, const RunLength& run);

/// A note if a start takes estimators over that the first epoch then replaces, or "".
std::string LostEstimatorsNote(const TrainConfig& config);

/// "8.0 M", or "32769" where that would be near 0.
std::string DescribeElements(double count);

double BytesOf(const NamedTensors& tensors);
/// Bytes of the per-sample state of all records.
double StateBytes(const ContrastiveObjective& objective, const OrderPlan& plan,
                  const Precision& precision);
double CheckpointBytes(const ClipModel& model, const Optimizer& optimizer,
                       const ContrastiveObjective& objective, const OrderPlan& plan,
                       const Precision& precision);

/// "1.8 GB more of host memory from the first save on …", or "" if none is in the background.
std::string DescribeSavedCopy(const TrainConfig& config, double checkpoint_bytes);

/// Disk space for checkpoints: `keep` of them, plus the next one until the oldest is removed.
struct CheckpointSpace {
  double checkpoint_bytes = 0;
  std::int64_t keep = 0;
  std::int64_t present = 0;  ///< existing checkpoints, which later ones replace
  double free_bytes = 0;
};
/// Throws std::runtime_error if not even the next checkpoint fits.
void CheckSpace(const CheckpointSpace& space, const std::string& folder);
/// A warning if that one fits, but the disk will be full before there are `keep`; or "".
std::string SpaceWarning(const CheckpointSpace& space, const std::string& folder);
/// The space at the location of a run folder, which may not exist yet.
CheckpointSpace SpaceOf(const TrainConfig& config, double checkpoint_bytes);

/// Throws std::runtime_error if the run folder cannot be created or written, or another process
/// trains in it. Writes nothing.
void CheckRunFolder(const std::string& folder);

/// "5.4 GB".
std::string DescribeBytes(double bytes);

/// Elements of the parameters that `of` accepts.
double Elements(const ClipModel& model, const std::function<bool(const Parameter&)>& of);

}  // namespace fastclip
