#include <fmt/ranges.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "comm/launch.h"
#include "pipeline/base/console.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "tools/bench/bench_step.h"
#include "tools/cli/cli.h"
#include "tools/cli/usage_error.h"
#include "tools/train/config_words.h"
#include "tools/train/rank_device.h"
#include "tools/train/train_ranks.h"
#include "tools/train/training_verb.h"
#include "trainer/config/config.h"
#include "trainer/run/dry_run.h"

namespace fastclip {
namespace {

constexpr double kMeasureSeconds = 3;

void PrintTime(const LoadedConfig& config, const DryRunReport& report, const RankDevice& device) {
  std::fflush(stdout);  // before the steps, which may take long
  const std::optional<OwnGpu> gpu = device.Open({});
  const double step = MeasureStep(
      config, report.rows, kMeasureSeconds,
      gpu ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu->index)) : at::Device(at::kCPU));
  fmt::print(
      "time        {:.3g} s per step of {} on {} of this machine (without loading and "
      "communication), {} for {}\n",
      step, Counted(report.rows, "row"), gpu ? "a GPU" : "the CPU",
      Duration(step * static_cast<double>(report.steps_left)), Counted(report.steps_left, "step"));
}

/// A plan for data that does not exist yet may be made on another machine than the run's.
void PrintMissingDevice(const RankDevice& device, int ranks) {
  try {
    device.Check(ranks);
  } catch (const std::exception& error) {
    fmt::print("warning     {}\n", error.what());
  }
}

}  // namespace

int RunTraining(const TrainingVerb& verb, int argc, const char* const* argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  bool dry_run = false;
  int ranks = 1;
  std::vector<std::int64_t> samples;
  bool measure = false;
  std::int64_t gpu_bytes = 0;
  CLI::App app(
      verb.about +
          "; `fastclip config keys` explains every key.\n"
          "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save a checkpoint and stop; resume=true continues "
          "at\n"
          "the same step. A second Ctrl-C (after 0.5 s) or SIGTERM (after 3 s) stops without "
          "saving.\n"
          "The exit code of a stopped run is 128 plus the signal number (130, 143, 129, 138).",
      fmt::format("fastclip {}", verb.name));
  app.add_option("CONFIG", config_path, kConfigHelp)->required();
  app.add_option("OVERRIDES", overrides, kOverridesHelp);
  CLI::Option* const dry = app.add_flag(
      "--dry-run", dry_run,
      "check everything that a start checks, print what the run would do (model, steps, memory, "
      "state, data, changes on resume) and exit; writes nothing");
  app.add_option(
         "--samples", samples,
         "plan for this many records instead of reading data.train, which need not exist; one "
         "number per source, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(Between(1, 1'000'000'000'000))
      ->needs(dry);
  app.add_option(
         "--gpu-memory", gpu_bytes,
         "plan the memory of a GPU of this size, as in 80GiB, which an \"80 GB\" GPU has (" +
             std::string(kSizeHelp) + "); default: the GPU of this machine")
      ->transform(AsBytes())
      ->check([](const std::string& bytes) {
        constexpr double kLeast = 1 << 30, kMost = kLeast * (1 << 20);
        const double value = std::atof(bytes.c_str());
        return value >= kLeast && value <= kMost
                   ? std::string()
                   : "must be the memory of a GPU, at least 1GiB, as in 80GiB";
      })
      ->type_name("SIZE")
      ->needs(dry);
  app.add_flag("--measure", measure,
               "measure the time of a step on this machine, with synthetic images")
      ->needs(dry);
  app.add_option("--ranks", ranks,
                 "number of ranks to start on this host; omit it under torchrun, mpirun or srun")
      ->check(Between(1, 1024))
      ->capture_default_str();
  app.footer(verb.examples);
  AdviseOnOptions(app, argc, argv);
  if (!ParseArguments(app, argc, argv)) return 0;

  RefuseOtherThanConfig(WithProgramTyped(app.get_name()), config_path, overrides);
  if (verb.needs_tuners && !LoadedConfig(config_path, overrides)->adapt.on()) {
    throw UsageError(fmt::format(
        "{}: adapt.tuners is empty, so nothing would be adapted; add a tuner, as in "
        "'adapt.tuners=[\"lora image.block.*.{{q,v}} r=8\"]', set adapt.task = classify, or "
        "use fastclip train",
        config_path));
  }
  const TrainRequest request{
      config_path, overrides,
      SuggestedCommand(fmt::format("{}", fmt::join(std::span(argv, argc), " ")))};
  const Launch launch = ReadLaunch([](const char* name) { return std::getenv(name); });
  if (dry_run) {
    const LoadedConfig config(config_path, overrides, ThisHost(ranks));
    const RankDevice device(config);
    const DryRunReport report =
        DryRun(config, {.ranks = ranks, .samples = samples, .gpu_bytes = gpu_bytes});
    fmt::print("{}", report.text);
    if (samples.empty()) {
      device.Check(ranks);
    } else {
      PrintMissingDevice(device, ranks);
    }
    if (measure) PrintTime(config, report, device);
    return 0;
  }
  if (ranks == 1) return TrainAsRank(request, launch);
  if (launch.world_size > 1) {
    throw UsageError(fmt::format(
        "--ranks cannot be combined with {}, which started this process as one of {} ranks; omit "
        "--ranks",
        launch.launcher, launch.world_size));
  }
  return TrainLocalRanks(request, ranks);
}

/// fastclip train CONFIG.toml [section.key=value …]
int RunTrain(int argc, const char* const* argv) {
  return RunTraining(
      {.name = "train",
       .about = "Trains a CLIP model from a config",
       .examples =
           "example: fastclip train configs/quickstart.toml run=runs/mine train.epochs=30\n"
           "         fastclip train mine.toml data.train='shards/{00000..00099}.tar' --dry-run"},
      argc, argv);
}

}  // namespace fastclip
