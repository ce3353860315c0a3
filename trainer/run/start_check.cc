#include "trainer/run/start_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <stdexcept>
#include <string_view>

#include "pipeline/base/printable.h"
#include "pipeline/files/file.h"
#include "trainer/config/config_changes.h"
#include "trainer/config/idle_keys.h"
#include "trainer/model/presets.h"
#include "trainer/objective/sample_table.h"
#include "trainer/run/run_setup.h"
#include "trainer/state/adapter_tensors.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

struct GpuSetting {
  std::string_view key, value;
  bool proved;
};
// What only a GPU can prove. Where tools/gpu_check.sh passes on one, its end names the settings to
// mark here.
constexpr std::array kGpuSettings = {
    GpuSetting{"train.attention", "flash", false},
    GpuSetting{"train.attention", "mem_efficient", false},
    GpuSetting{"train.attention", "cudnn", false},
    GpuSetting{"train.attention", "math", false},
    GpuSetting{"train.cuda_graphs", "true", false},
};

/// The folder, or its nearest existing parent.
fs::path ExistingFolder(const std::string& folder) {
  std::error_code absent;
  fs::path place = fs::absolute(folder, absent).lexically_normal();
  while (!fs::exists(place, absent) && place.has_relative_path()) place = place.parent_path();
  return place;
}

/// Settings that are rarely meant.
std::vector<std::string> SettingWarnings(const TrainConfig& config) {
  std::vector<std::string> lines;
  if (config.train.device == "cpu" && PrecisionOf(config.train.precision).scales_gradients) {
    lines.push_back(fmt::format(
        "train.precision = {}: float16 is many times slower than float32 on a CPU; use amp_bf16 or "
        "fp32",
        config.train.precision));
  }
  if (config.objective.name == "siglip" && config.temperature.init == TemperatureOptions().init &&
      config.model.pretrained.empty() && config.train.init.empty()) {
    lines.emplace_back("objective siglip is usually started with temperature.init = 0.1");
  }
  return lines;
}

/// Of the ranks of this host, if they outnumber its cores; or "".
std::string CrowdedRanks(const LoadedConfig& config) {
  const HostCores& host = config.cores();
  if (config->train.device != "cpu" || host.ranks <= host.cores) return "";
  return fmt::format("{} share {} of this host, so a step takes longer than with {}; use {}",
                     Counted(host.ranks, "rank"), Counted(host.cores, "core"),
                     Counted(host.cores, "rank"),
                     host.cores == 1 ? "one rank" : fmt::format("at most {}", host.cores));
}

}  // namespace

void RefuseTakenFolder(const TrainConfig& config) {
  if (config.resume) return;
  if (const auto found = FindNewestCheckpoint(config.run)) {
    throw ConfigError(fmt::format(
        "{} already holds a run (step {}); set resume=true to resume it, or another run=FOLDER "
        "to start a new run",
        config.run, found->meta.step));
  }
  std::error_code absent;
  const std::string metrics = config.run + "/metrics.jsonl";
  if (fs::file_size(metrics, absent) > 0 && !absent) {
    throw ConfigError(fmt::format(
        "{} belongs to a run whose checkpoints are missing; restore them to {}/checkpoints and set "
        "resume=true, or set only resume=true to overwrite the run, or use another run=FOLDER",
        metrics, config.run));
  }
}

void CheckFit(const StartWeights& start, const ModelConfig& model) {
  if (!start.file()) return;
  CheckWeightsFit(
      model,
      ClipModel(model, /*seed=*/0, /*init_temperature=*/1, at::kFloat, {}, at::kMeta).shapes(),
      start.file()->shapes(), start.file()->path());
}

void CheckRecordable(const LoadedConfig& config, int ranks, bool on_gpu) {
  if (!config->train.cuda_graphs || !on_gpu) return;
  config.RefuseUnrecordable();
  CheckTunersRecordable(config, LoadModelConfig(config->model.name));
  if (ranks == 1) return;
  throw config.table().Error(
      "train.cuda_graphs",
      fmt::format("only steps of one rank can be recorded, but this run has {}, which exchange "
                  "features and gradients in each step; set train.cuda_graphs = false",
                  Counted(ranks, "rank")));
}

void CheckRecordedState(const LoadedConfig& config, const OrderPlan& plan, bool on_gpu) {
  if (!config->train.cuda_graphs || !on_gpu) return;
  const double bytes =
      StateBytes(*MakeObjective(ObjectiveOf(*config)), plan, PrecisionOf(config->train.precision));
  if (SampleTable::BelongsOnDevice(config->train.state, bytes)) return;
  throw config.table().Error(
      "train.cuda_graphs",
      fmt::format("needs the state in GPU memory, but train.state = \"{}\" keeps one of {} in host "
                  "memory; set train.state = \"device\", or train.cuda_graphs = false",
                  config->train.state, DescribeBytes(bytes)));
}

std::vector<std::string> UnprovedKeys(const TrainConfig& config, bool on_gpu) {
  std::vector<std::string> lines;
  if (!on_gpu) return lines;
  const ConfigValues values = ValuesOf(config);
  for (const auto& [key, value, proved] : kGpuSettings) {
    const std::string& set = values.at(std::string(key));
    const bool is_text = set == fmt::format("'{}'", value);
    if (proved || (set != value && !is_text)) continue;
    const char* const quote = is_text ? "\"" : "";
    lines.push_back(fmt::format("{0} = {2}{1}{2} is not yet proved on a GPU", key, value, quote));
  }
  return lines;
}

std::vector<Remark> RemarksOn(const LoadedConfig& config, bool on_gpu) {
  std::vector<Remark> remarks;
  const auto add = [&](const char* kind, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) remarks.push_back({kind, line});
  };
  TrainConfig there = *config;
  if (on_gpu) there.train.device = "cuda";  // a dry run can plan for a GPU that is not here
  add("note", KeysWithoutEffect(there));
  add("warning", SettingWarnings(there));
  add("note", UnprovedKeys(there, on_gpu));
  const std::string crowded = on_gpu ? "" : CrowdedRanks(config);
  if (!crowded.empty()) add("warning", {crowded});
  return remarks;
}

std::string DescribeLoad(double load, std::int64_t cores) {
  if (load <= 2 * static_cast<double>(cores)) return "";
  return fmt::format(
      "the load average of the last minute was {:.1f} on {}: if other processes still run, "
      "training is slower than usual. OMP_WAIT_POLICY=passive in the environment can help: threads "
      "then sleep while they wait",
      load, Counted(cores, "core"));
}

std::string BusyHost(const TrainConfig& config) {
  double load = 0;
  if (config.train.device != "cpu" || getloadavg(&load, 1) != 1) return "";
  return DescribeLoad(load, sysconf(_SC_NPROCESSORS_ONLN));
}

std::string DescribeGamma(const GammaOptions& gamma, std::int64_t epochs) {
  const double last = Gamma(gamma, epochs - 1, epochs);
  if (last == gamma.start) return fmt::format("; gamma {:.3g} throughout", last);
  return fmt::format("; gamma {} from {:.3g} to {:.3g}{}", gamma.schedule, gamma.start, last,
                     gamma.schedule == "constant" || last == gamma.min
                         ? ""
                         : fmt::format(" in the last epoch (gamma.min is {:.3g})", gamma.min));
}

std::string DescribeOptimizer(const TrainConfig& config) {
  const OptimizerOptions& optimizer = config.optimizer;
  const LearningRateOptions& rate = config.learning_rate;
  std::string text = fmt::format(
      "{}, learning rate {:.3g}, schedule {}, {}, weight decay {:.3g}", optimizer.name, rate.lr,
      rate.schedule, rate.warmup == 0 ? "no warmup" : "warmup " + Counted(rate.warmup, "step"),
      optimizer.weight_decay);
  text += optimizer.name == "sgdm"
              ? fmt::format(", momentum {:.3g}", optimizer.momentum)
              : fmt::format(", betas {:.3g} and {:.3g}", optimizer.beta1, optimizer.beta2);
  return config.train.clip_norm == 0
             ? text
             : fmt::format("{}; gradients clipped to norm {:g}", text, config.train.clip_norm);
}

std::string DescribeTemperature(const TrainConfig& config, double initial) {
  const TemperatureKind kind = TemperatureOf(config.objective.name);
  if (kind == TemperatureKind::kConstant) return fmt::format("constant {:.3g}", initial);
  const TemperatureOptions& temperature = config.temperature;
  return fmt::format("{}, initial {:.3g}; its learning rate {:.3g}, schedule {}",
                     kind == TemperatureKind::kLearned ? "learned" : "learned per sample", initial,
                     temperature.lr < 0 ? config.learning_rate.lr : temperature.lr,
                     temperature.schedule);
}

std::string DescribeEvery(std::int64_t epochs, std::int64_t steps) {
  const auto every = [](std::int64_t n, const char* unit) {
    return n == 1 ? unit : Counted(n, unit);
  };
  if (epochs == 0 && steps == 0) return "at the end";
  if (steps == 0) return "every " + std::string(every(epochs, "epoch"));
  if (epochs == 0) return "every " + std::string(every(steps, "step"));
  return fmt::format("every {} and every {}", every(epochs, "epoch"), every(steps, "step"));
}

std::vector<std::string> ScheduleWarnings(const TrainConfig& config, const RunLength& run) {
  std::vector<std::string> lines;
  const LearningRateOptions& rate = config.learning_rate;
  if (rate.warmup > run.steps) {
    lines.push_back(fmt::format(
        "learning_rate.warmup is {}, but the run has only {}: the learning rate reaches {:.3g}, "
        "not "
        "learning_rate.lr = {:g}",
        Counted(rate.warmup, "step"), run.steps, LearningRate(rate, run.steps - 1, run), rate.lr));
  }
  const GammaOptions& gamma = config.gamma;
  if (gamma.schedule == "cosine" && gamma.decay_epochs > config.train.epochs) {
    lines.push_back(fmt::format(
        "gamma.decay_epochs is {}, but the run has only {}: gamma falls to {:.3g}, not to "
        "gamma.min = {:g}",
        Counted(gamma.decay_epochs, "epoch"), config.train.epochs,
        Gamma(gamma, config.train.epochs - 1, config.train.epochs), gamma.min));
  }
  return lines;
}

std::string LostEstimatorsNote(const TrainConfig& config) {
  if (Gamma(config.gamma, 0, config.train.epochs) < 1) return "";
  return "gamma is 1 in the first epoch, which replaces the estimators; set gamma.start below 1 to "
         "keep them";
}

std::string DescribeElements(double count) {
  return count < 1e5 ? fmt::format("{:.0f}", count) : fmt::format("{:.1f} M", 1e-6 * count);
}

double BytesOf(const NamedTensors& tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), 0.0, [](double sum, const auto& named) {
    return sum + static_cast<double>(named.second.nbytes());
  });
}

double StateBytes(const ContrastiveObjective& objective, const OrderPlan& plan,
                  const Precision& precision) {
  std::int64_t rows = 0;
  for (std::int64_t lane = 0; lane < plan.options().lanes; ++lane) rows += plan.lane_size(lane);
  const double cell = precision.parameters == at::kDouble ? 8 : 4;
  return cell * static_cast<double>(objective.state_columns().size()) * static_cast<double>(rows);
}

double CheckpointBytes(const ClipModel& model, const Optimizer& optimizer,
                       const ContrastiveObjective& objective, const OrderPlan& plan,
                       const Precision& precision) {
  return BytesOf(SavedTensors(model)) + BytesOf(optimizer.state()) +
         StateBytes(objective, plan, precision);
}

std::string DescribeSavedCopy(const TrainConfig& config, double checkpoint_bytes) {
  const TrainConfig::Checkpoint& save = config.checkpoint;
  if (!save.async || (save.every_steps == 0 && save.every_epochs == 0)) return "";
  return fmt::format(
      "{} more host memory from the first save on, for the copy that is written in the "
      "background (checkpoint.async)",
      DescribeBytes(checkpoint_bytes));
}

void CheckSpace(const CheckpointSpace& space, const std::string& folder) {
  if (space.free_bytes >= space.checkpoint_bytes) return;
  throw std::runtime_error(fmt::format(
      "the disk of {} has {} free, but a checkpoint needs {}; free disk space, or use another "
      "run=FOLDER",
      folder, DescribeBytes(space.free_bytes), DescribeBytes(space.checkpoint_bytes)));
}

std::string SpaceWarning(const CheckpointSpace& space, const std::string& folder) {
  const auto missing = std::max<std::int64_t>(space.keep + 1 - space.present, 1);
  const double needed = space.checkpoint_bytes * static_cast<double>(missing);
  if (space.free_bytes >= needed || space.free_bytes < space.checkpoint_bytes) return "";
  return fmt::format(
      "the disk of {} has {} free, but the next {} need {} (checkpoint.keep = {}, plus one while "
      "it is written); free disk space, or lower checkpoint.keep",
      folder, DescribeBytes(space.free_bytes), Counted(missing, "checkpoint"),
      DescribeBytes(needed), space.keep);
}

CheckpointSpace SpaceOf(const TrainConfig& config, double checkpoint_bytes) {
  CheckpointSpace space{.checkpoint_bytes = checkpoint_bytes, .keep = config.checkpoint.keep};
  struct statvfs disk;
  if (statvfs(ExistingFolder(config.run).c_str(), &disk) != 0) {
    space.free_bytes = checkpoint_bytes * static_cast<double>(space.keep + 1);  // unknown
    return space;
  }
  space.free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  std::error_code absent;
  for (fs::directory_iterator entry(fs::path(config.run) / "checkpoints", absent), end;
       !absent && entry != end; entry.increment(absent)) {
    const fs::path& path = entry->path();
    space.present += path.filename().string().starts_with("step_") && !path.has_extension();
  }
  return space;
}

void CheckRunFolder(const std::string& folder) {
  const fs::path place = ExistingFolder(folder);
  if (!fs::is_directory(place) || access(place.c_str(), W_OK | X_OK) != 0) {
    throw std::runtime_error(fmt::format(
        "{}: cannot create the run folder: {} is not a writable folder; use another run=FOLDER",
        folder, place.string()));
  }
  const std::string lock = folder + "/lock";
  const UniqueFd fd(open(lock.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  if (flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw std::runtime_error(fmt::format(
        "{}: another process trains in this folder; wait until it ends, or use another run=FOLDER",
        folder));
  }
}

std::string DescribeBytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(units); ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, units[unit]);
}

double Elements(const ClipModel& model, const std::function<bool(const Parameter&)>& of) {
  double count = 0;
  for (const Parameter& parameter : model.described()) {
    if (of(parameter)) count += static_cast<double>(parameter.tensor.numel());
  }
  return count;
}

}  // namespace fastclip
