#include <fmt/ranges.h>

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "comm/launch.h"
#include "pipeline/base/console.h"
#include "tools/bench/bench_step.h"
#include "tools/cli/cli.h"
#include "tools/cli/usage_error.h"
#include "tools/train/config_words.h"
#include "tools/train/train_ranks.h"
#include "trainer/config/config.h"
#include "trainer/run/dry_run.h"

namespace fastclip {
namespace {

constexpr double kMeasureSeconds = 3;

void PrintTime(const LoadedConfig& config, const DryRunReport& report) {
  std::fflush(stdout);  // before the steps, which may take long
  const double step = MeasureStep(config, report.rows, kMeasureSeconds);
  fmt::print(
      "time        {:.3g} s a step of {} rows on this machine (measured without loading and "
      "exchange), {} for {} steps\n",
      step, report.rows, Duration(step * static_cast<double>(report.steps_left)),
      report.steps_left);
}

}  // namespace

/// fastclip train CONFIG.toml [section.key=value …]
int RunTrain(int argc, const char* const* argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  bool dry_run = false;
  int ranks = 1;
  std::vector<std::int64_t> samples;
  bool measure = false;
  CLI::App app(
      "Trains a CLIP model. The config is the manual: configs/quickstart.toml explains every key.\n"
      "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save and end; the word resume=true goes on at the very\n"
      "step. Another Ctrl-C half a second later or more, or another SIGTERM some seconds later, "
      "ends\n"
      "without saving. The exit code is 128 and the signal's number (130, 143, 129, 138): scripts\n"
      "can tell a stopped run from a finished one.",
      "fastclip train");
  app.add_option("CONFIG", config_path, "TOML file, or a run folder: its config.toml")->required();
  app.add_option("OVERRIDES", overrides, "section.key=value, in place of the file's");
  CLI::Option* const dry = app.add_flag(
      "--dry-run", dry_run,
      "check all that a start checks, say what the run would be (model, steps, memory, "
      "state, what is read, what a resume changes) and end; nothing is written");
  app.add_option("--samples", samples,
                 "of a dry run: plan for so many records in place of data.train, which need not "
                 "exist yet; a number for each source, with commas between them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000'000'000}))
      ->needs(dry);
  app.add_flag("--measure", measure,
               "of a dry run: take some steps on made-up pictures for the time of a step")
      ->needs(dry);
  app.add_option("--ranks", ranks,
                 "start this many processes on this host and train in all of them; under torchrun, "
                 "mpirun or srun leave it out")
      ->check(CLI::Range(1, 1024));
  app.footer(
      "example: fastclip train configs/quickstart.toml run=runs/mine "
      "data.train='shards/{00000..00099}.tar' train.epochs=10");
  AdviseOnOptions(app, argc, argv);
  if (!ParseArguments(app, argc, argv)) return 0;

  const TrainRequest request{config_path, overrides,
                             fmt::format("fastclip {}", fmt::join(std::span(argv, argc), " "))};
  const Launch launch = ReadLaunch([](const char* name) { return std::getenv(name); });
  if (dry_run) {
    const LoadedConfig config(config_path, overrides, ranks);
    CheckDevice(config, ranks);
    if (measure && config->train.device != "cpu") {
      throw UsageError(
          "--measure takes its steps on the CPU; leave it out, or add train.device=cpu");
    }
    const DryRunReport report = DryRun(config, {.ranks = ranks, .samples = samples});
    fmt::print("{}", report.text);
    if (measure) PrintTime(config, report);
    return 0;
  }
  if (ranks == 1) return TrainAsRank(request, launch);
  if (launch.world_size > 1) {
    throw UsageError(fmt::format(
        "--ranks starts ranks of its own, and {} has started this process as one of {} already: "
        "leave --ranks out",
        launch.launcher, launch.world_size));
  }
  return TrainLocalRanks(request, ranks);
}

}  // namespace fastclip
