#include "tools/bench_commands.h"

#include <vector>

#include "tools/bench_pipeline.h"
#include "tools/bench_tokenizer.h"
#include "tools/command.h"

namespace fastclip {

int RunBench(int argc, const char* const* argv) {
  std::vector<Command> benches = {
      {"pipeline", "samples/s from shards to batches, against the bare decoder", RunBenchPipeline},
      {"tokenizer", "microseconds a caption", RunBenchTokenizer}};
  for (const Command& bench : TrainerBenches()) benches.push_back(bench);
  return RunVerb("bench", benches, "", "fastclip bench pipeline --shards 'cc3m/{00000..00031}.tar'",
                 argc, argv);
}

}  // namespace fastclip
