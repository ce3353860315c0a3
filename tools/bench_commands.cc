#include "tools/bench_commands.h"

#include <fmt/format.h>

#include <string_view>

#include "tools/bench_step.h"
#include "tools/command.h"
#include "tools/usage_error.h"

namespace fastclip {
namespace {

const Command kBenches[] = {
    {"step", "samples/s and memory of whole training steps", RunBenchStep},
};

void PrintBenches() {
  fmt::print("usage: fastclip bench WHAT …        fastclip bench WHAT --help tells more\n\n");
  for (const Command& bench : kBenches) fmt::print("  {:<9} {}\n", bench.name, bench.summary);
  fmt::print("\nexample: fastclip bench step configs/quickstart.toml --json\n");
}

}  // namespace

int RunBench(int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h") {
    PrintBenches();
    return argc > 1 ? 0 : 2;
  }
  for (const Command& bench : kBenches) {
    if (bench.name == name) return bench.run(argc - 1, argv + 1);
  }
  throw UsageError(
      fmt::format("there is no '{}'; fastclip bench --help lists what there is", name));
}

}  // namespace fastclip
