#include "tools/train_command.h"

#include <fmt/ranges.h>

#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "comm/launch.h"
#include "tools/cli.h"
#include "tools/train_ranks.h"
#include "tools/usage_error.h"
#include "trainer/config.h"
#include "trainer/dry_run.h"

namespace fastclip {

int RunTrain(int argc, const char* const* argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  bool dry_run = false;
  int ranks = 1;
  CLI::App app(
      "Trains a CLIP model. The config is the manual: configs/quickstart.toml explains every key.\n"
      "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save and end; the word resume=true goes on at the very\n"
      "step. Another Ctrl-C half a second later or more, or another SIGTERM some seconds later, "
      "ends\n"
      "without saving. The exit code is 128 and the signal's number (130, 143, 129, 138): scripts\n"
      "can tell a stopped run from a finished one.",
      "fastclip train");
  app.add_option("CONFIG", config_path, "TOML file")->required();
  app.add_option("OVERRIDES", overrides, "section.key=value, in place of the file's");
  app.add_flag("--dry-run", dry_run,
               "say what the run would be (model, steps, memory, state, what is read) and end");
  app.add_option("--ranks", ranks,
                 "start this many processes on this host and train in all of them; under torchrun, "
                 "mpirun or srun leave it out")
      ->check(CLI::Range(1, 1024));
  app.footer(
      "example: fastclip train configs/quickstart.toml run=runs/mine "
      "data.train='shards/{00000..00099}.tar' train.epochs=10");
  if (!ParseArguments(app, argc, argv)) return 0;

  const TrainRequest request{config_path, overrides,
                             fmt::format("fastclip {}", fmt::join(std::span(argv, argc), " "))};
  const Launch launch = ReadLaunch([](const char* name) { return std::getenv(name); });
  if (dry_run) {
    fmt::print("{}", DryRun(LoadedConfig(config_path, overrides, ranks), ranks));
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
