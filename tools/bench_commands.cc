#include "tools/bench_commands.h"

#include "tools/bench_step.h"
#include "tools/command.h"

namespace fastclip {
namespace {

const Command kBenches[] = {
    {"step", "samples/s and memory of whole training steps", RunBenchStep},
};

}  // namespace

int RunBench(int argc, const char* const* argv) {
  return RunVerb("bench", kBenches, "", "fastclip bench step configs/quickstart.toml --json", argc,
                 argv);
}

}  // namespace fastclip
