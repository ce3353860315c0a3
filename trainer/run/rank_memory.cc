#include "trainer/run/rank_memory.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "comm/gpu_driver.h"
#include "pipeline/files/system_memory.h"
#include "trainer/base/precision.h"
#include "trainer/objective/sample_table.h"
#include "trainer/run/start_check.h"
#include "trainer/step/activation_bytes.h"

namespace fastclip {
namespace {

constexpr double kMiB = 1 << 20;
// Not measured here: what PyTorch and NVIDIA name for a Hopper GPU.
constexpr double kContext = 500 * kMiB;     // the driver's, with the kernels in use
constexpr double kWorkspaces = 128 * kMiB;  // cuBLAS: 32 MiB for each of two threads; cuDNN as much
constexpr double kNccl = 400 * kMiB;        // buffers of its channels
constexpr double kUsable = 0.95;
constexpr double kTileElements = 1 << 26;  // logit_tiles.cc, on a GPU
constexpr double kTiles = 3;               // alive at once
constexpr double kFeatureCopies = 4;       // gathered, split by side, and scaled
constexpr std::int64_t kMostRows = 1 << 24;

/// What needs less than a run with so many rows a rank.
std::string KeysThatHelp(const RankMemory& memory, std::int64_t rows) {
  std::vector<std::string> ways = {"lower train.batch_size", "raise train.micro_batches",
                                   "set train.grad_checkpointing = true"};
  if (memory.recorded()) ways.emplace_back("set train.cuda_graphs = false");
  if (memory.Passes(rows) > memory.Held(rows)) ways.emplace_back("lower eval.batch_size");
  ways.back().insert(0, "or ");
  return fmt::format("{}", fmt::join(ways, ", "));
}

/// Bytes of the passes of an evaluation; 0: the run has none.
double EvaluationBytes(const TrainConfig& config, const ModelConfig& model, at::ScalarType type) {
  const bool val = !config.data.val.empty() && config.eval.every_epochs > 0;
  const bool zeroshot = !config.eval.zeroshot.empty() && config.eval.zeroshot_every_epochs > 0;
  if (!val && !zeroshot) return 0;
  return static_cast<double>(config.eval.batch_size * EvaluationBytesPerRow(model, type));
}

}  // namespace

double RankMemory::Held(std::int64_t rows) const {
  return row * std::ceil(static_cast<double>(rows) / static_cast<double>(micro_batches));
}

double RankMemory::Passes(std::int64_t rows) const {
  return recorded() ? Held(rows) + evaluation : std::max(Held(rows), evaluation);
}

double RankMemory::Besides(std::int64_t rows) const {
  if (!on_gpu) return 0;
  const auto own = static_cast<double>(rows);
  const double all = own * ranks;
  const double waiting = own - std::ceil(own / static_cast<double>(micro_batches));
  const double similarities = kTiles * number * std::min(kTileElements, own * all);
  return (2 * upload + inputs) * own + image * waiting + kFeatureCopies * features * all +
         similarities + kContext + kWorkspaces + (ranks > 1 ? kNccl : 0);
}

double RankMemory::Total(std::int64_t rows) const {
  return weights + gradients + moments + state + Passes(rows) + Besides(rows);
}

std::int64_t RankMemory::RowsThatFit(double bytes) const {
  std::int64_t fits = 0, too_many = kMostRows / micro_batches + 1;  // of each micro-batch
  while (too_many - fits > 1) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (Total(middle * micro_batches) <= kUsable * bytes ? fits : too_many) = middle;
  }
  return fits * micro_batches;
}

RankMemory MemoryOf(const TrainConfig& config, const ModelConfig& model_config,
                    const ClipModel& model, const Optimizer& optimizer, double state, int ranks,
                    bool on_gpu) {
  const Precision precision = PrecisionOf(config.train.precision, config.train.residual);
  const double number = precision.parameters == at::kDouble ? 8 : 4;
  const auto size = static_cast<double>(model_config.vision.image_size);
  const double pixels = 3 * size * size;
  const double caption =
      8 * static_cast<double>(model_config.text.context_length + 1);  // with pool
  LockOptions lock = config.model.lock;
  lock.text |= config.adapt.classifies();  // the text tower does not run
  const bool state_there = !on_gpu || SampleTable::BelongsOnDevice(config.train.state, state);
  return {
      .weights = BytesOf(model.parameters()) + BytesOf(model.added()) + BytesOf(model.buffers()),
      .gradients = BytesOf(model.trainable()),
      .moments = BytesOf(optimizer.state()),
      .state = state_there ? state : 0,
      .row = static_cast<double>(ActivationBytesPerRow(model_config, lock, precision,
                                                       config.train.grad_checkpointing, on_gpu)),
      .image = pixels * number,
      .upload = pixels + caption,
      .inputs = on_gpu && config.train.cuda_graphs ? pixels * number + caption : 0,
      .features = 2 * static_cast<double>(model_config.embed_dim) * number,
      .number = number,
      .evaluation = EvaluationBytes(config, model_config, precision.parameters),
      .on_gpu = on_gpu,
      .ranks = ranks,
      .micro_batches = config.train.micro_batches};
}

std::string DescribeFit(const RankMemory& memory, double bytes) {
  const std::int64_t rows = memory.RowsThatFit(bytes);
  if (rows == 0) return fmt::format("no batch fits in {}", DescribeBytes(bytes));
  const std::string batch = fmt::format("largest batch that fits in {}: about {}",
                                        DescribeBytes(bytes), rows * memory.ranks);
  return memory.ranks == 1 ? batch : fmt::format("{} ({} rows per GPU)", batch, rows);
}

std::int64_t SmallestGpu() {
  std::int64_t bytes = 0;
  for (const Gpu& gpu : AskGpuDriver().gpus) {
    bytes = bytes == 0 ? gpu.bytes : std::min(bytes, gpu.bytes);
  }
  return bytes;
}

std::string AddMemoryLines(ReportLines& lines, const RankMemory& memory,
                           const PlannedMemory& plan) {
  const double rank = memory.Total(plan.rows);
  lines.Add(
      "memory",
      "weights {}, gradients {}, optimizer {}, state {}{}; activations {} per row, {} for {}",
      DescribeBytes(memory.weights), DescribeBytes(memory.gradients), DescribeBytes(memory.moments),
      DescribeBytes(plan.state), memory.state == plan.state ? "" : " (in host memory)",
      DescribeBytes(memory.row), DescribeBytes(memory.Held(plan.rows)),
      memory.micro_batches == 1 ? std::string(memory.ranks == 1 ? "the batch" : "the rank's rows")
                                : fmt::format("one of {} micro-batches", memory.micro_batches));
  const char* const whole = memory.ranks == 1 ? "in total" : "per rank";
  const auto add_evaluation = [&] {
    const double more = memory.Passes(plan.rows) - memory.Held(plan.rows);
    if (more <= 0) return;
    lines.Add("", "{} of it for evaluation{}", DescribeBytes(more),
              memory.recorded() ? ", as recorded steps keep their memory (train.cuda_graphs)"
                                : ", which needs more than a step (eval.batch_size)");
  };
  if (!memory.on_gpu) {
    const double all = rank * memory.ranks;  // on this host
    const std::string of_all =
        memory.ranks == 1 ? "" : fmt::format(", {} for all {}", DescribeBytes(all), memory.ranks);
    lines.Add("", "about {} {}{}", DescribeBytes(rank), whole, of_all);
    add_evaluation();
    const auto free = static_cast<double>(AvailableMemory());
    if (free <= 0 || all <= free) return "";
    return fmt::format("only {} of memory is free, the run needs about {}; {}", DescribeBytes(free),
                       DescribeBytes(all), KeysThatHelp(memory, plan.rows));
  }
  lines.Add(
      "", "about {} of GPU memory {}, {} of it for batches, the objective, CUDA and its libraries",
      DescribeBytes(rank), whole, DescribeBytes(memory.Besides(plan.rows)));
  add_evaluation();
  if (plan.gpu_bytes <= 0) return "";
  lines.Add("", "{}", DescribeFit(memory, plan.gpu_bytes));
  if (memory.RowsThatFit(plan.gpu_bytes) >= plan.rows) return "";
  return fmt::format("a GPU has only {}; {}", DescribeBytes(plan.gpu_bytes),
                     KeysThatHelp(memory, plan.rows));
}

std::string AdviseOnMemory(const RankMemory& memory, std::int64_t rows, double bytes) {
  std::string text = fmt::format("this batch needs about {}", DescribeBytes(memory.Total(rows)));
  if (bytes > 0) text += fmt::format("; {}", DescribeFit(memory, bytes));
  if (bytes > 0 && memory.RowsThatFit(bytes) >= rows) {
    text += ", so other processes may use the GPU too (see nvidia-smi)";
  }
  return fmt::format("{}; {}", text, KeysThatHelp(memory, rows));
}

std::string AdviseOnEvaluation(const TrainConfig& config, const c10::OutOfMemoryError& error) {
  return fmt::format("out of memory in an evaluation: {}; lower eval.batch_size, which is {}{}",
                     CauseOf(error), config.eval.batch_size,
                     config.train.cuda_graphs
                         ? ", or set train.cuda_graphs = false: recorded steps keep their memory"
                         : "");
}

std::string CauseOf(const c10::OutOfMemoryError& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find(". "));
}

}  // namespace fastclip
