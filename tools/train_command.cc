#include "tools/train_command.h"

#include <fmt/ranges.h>

#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "tools/cli.h"
#include "trainer/dry_run.h"
#include "trainer/stop_signal.h"
#include "trainer/trainer.h"

namespace fastclip {

int RunTrain(int argc, const char* const* argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  bool dry_run = false;
  CLI::App app(
      "Trains a CLIP model. The config is the manual: configs/quickstart.toml explains every key.\n"
      "Ctrl-C, SIGTERM and SIGUSR1 save and end; the word resume=true goes on at the very step. A\n"
      "second Ctrl-C or SIGTERM ends at once. The exit code is then 128 + the signal's number\n"
      "(130, 143, 138), so that scripts can tell a stopped run from a finished one.",
      "fastclip train");
  app.add_option("CONFIG", config_path, "TOML file")->required();
  app.add_option("OVERRIDES", overrides, "section.key=value, in place of the file's");
  app.add_flag("--dry-run", dry_run,
               "say what the run would be (model, steps, memory, state, what is read) and end");
  app.footer(
      "example: fastclip train configs/quickstart.toml run=runs/mine "
      "data.train='shards/{00000..00099}.tar' train.epochs=10");
  if (!ParseArguments(app, argc, argv)) return 0;

  const StopSignal stop;  // before LibTorch starts threads
  const LoadedConfig config(config_path, overrides);
  if (dry_run) {
    fmt::print("{}", DryRun(config));
    return 0;
  }
  const auto comm = WorldOfOne();
  Trainer trainer(config, fmt::format("fastclip {}", fmt::join(std::span(argv, argc), " ")), *comm);
  const bool stopped = trainer.Run(stop) == Trainer::End::kStopped;
  return stopped ? 128 + stop.received() : 0;
}

}  // namespace fastclip
