#include "tools/commands.h"

#include <array>

#include "tools/bench/bench_pipeline.h"
#include "tools/bench/bench_tokenizer.h"
#include "tools/data/shards_commands.h"
#include "tools/data/tokenizer_commands.h"
#include "tools/torch_commands.h"

namespace fastclip {
namespace {

constexpr bool kNeedsTorch = true;

const std::array kBenches = {
    Command{"pipeline", "samples/s from shards to batches, against the bare decoder",
            RunBenchPipeline},
    Command{"tokenizer", "microseconds a caption", RunBenchTokenizer},
    Command{"step", "samples/s and memory of whole training steps", BenchStepCommand, kNeedsTorch},
    Command{"objective", "loss and feature gradients alone, against their matrix products",
            BenchObjectiveCommand, kNeedsTorch},
};

int RunBench(int argc, const char* const* argv) {
  return RunVerb("bench", kBenches, "",
                 "fastclip bench pipeline --shards 'cc3m/{00000..00031}.tar'", argc, argv);
}

const std::array kCommands = {
    Command{"train", "train a model from a config; resume, stop and go on", TrainCommand,
            kNeedsTorch},
    Command{"estimators", "the per-sample state of a run: shown, exported", EstimatorsCommand,
            kNeedsTorch},
    Command{"eval", "retrieval, zero-shot and linear-probe figures of a trained model", EvalCommand,
            kNeedsTorch},
    Command{"shards", "make, index and show tar shards", RunShards},
    Command{"bench", "measure speed and memory", RunBench},
    Command{"tokenize", "lines in, a line of token ids out each", RunTokenize},
    Command{"tokenizer", "learn a SentencePiece model from captions", RunTokenizer},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

std::string Command::Describe() const {
  return needs_torch && !kHasTorch ? summary + " (needs LibTorch: not in this build)" : summary;
}

}  // namespace fastclip
