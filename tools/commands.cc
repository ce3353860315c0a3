#include "tools/commands.h"

#include <array>

#include "tools/data/replay_setup.h"

namespace fastclip {

// Functions, each defined in the file of its name. A new command is such a file and a line in a
// table here.
RunCommand RunTrain, RunAdapt, RunEstimators, RunConfig, RunEval, RunTokenize, RunTokenizer,
    RunCompletion;
RunCommand RunConvert, RunIndex, RunInfo, RunLint;
OpenRun SetupOfRun;
RunCommand RunBenchPipeline, RunBenchTokenizer, RunBenchStep, RunBenchObjective, RunBenchAdapt;

namespace {

// A command that needs LibTorch is listed in a build without it too, and says so.
#ifdef FASTCLIP_HAS_TORCH
#define NEEDS_TORCH(function) function
#else
#define NEEDS_TORCH(function) nullptr
#endif

// A list of shards is replayed without LibTorch, a run with it.
int RunReplay(int argc, const char* const* argv) {
  return ReplayEpoch(argc, argv, NEEDS_TORCH(SetupOfRun));
}

const std::array kShards = {
    Command{"convert", "pack a table of images and captions into shards", RunConvert},
    Command{"index", "create or update the index of a list", RunIndex},
    Command{"info", "show what a list contains, and warnings about it", RunInfo},
    Command{"lint", "decode every record and list the bad ones", RunLint},
    Command{"replay", "print hashes of the global batches of an epoch", RunReplay},
};

int RunShards(int argc, const char* const* argv) {
  return RunVerb("shards", kShards, "Converts, indexes, describes and checks tar shards.",
                 "fastclip shards info 'build/quickstart/train/*.tar'", argc, argv);
}

const std::array kBenches = {
    Command{"pipeline", "samples/s from shards to batches, compared with the decoder alone",
            RunBenchPipeline},
    Command{"tokenizer", "microseconds per caption", RunBenchTokenizer},
    Command{"step", "samples/s and memory of complete training steps", NEEDS_TORCH(RunBenchStep)},
    Command{"objective", "loss and feature gradients, compared with their matrix products",
            NEEDS_TORCH(RunBenchObjective)},
    Command{"adapt",
            "time and memory of fine-tuning steps, compared with full fine-tuning and LoRA",
            NEEDS_TORCH(RunBenchAdapt)},
};

int RunBench(int argc, const char* const* argv) {
  return RunVerb("bench", kBenches, "Measures speed and memory.",
                 "fastclip bench pipeline --shards 'build/quickstart/train/*.tar'", argc, argv);
}

const std::array kCommands = {
    Command{"train", "train a model from a config, or resume a run", NEEDS_TORCH(RunTrain)},
    Command{"adapt", "fine-tune a trained model with LoRA and other tuners", NEEDS_TORCH(RunAdapt)},
    Command{"config", "show, check and compare configs", NEEDS_TORCH(RunConfig)},
    Command{"estimators", "show or export the per-sample state of a run",
            NEEDS_TORCH(RunEstimators)},
    Command{"eval", "evaluate a trained model: retrieval, zero-shot, linear probe",
            NEEDS_TORCH(RunEval)},
    Command{"shards", "convert, index, describe and check tar shards", RunShards},
    Command{"bench", "measure speed and memory", RunBench},
    Command{"tokenize", "print the token ids of each input line", RunTokenize},
    Command{"tokenizer", "train a SentencePiece model on captions", RunTokenizer},
    Command{"completion", "print a completion script for bash, zsh or fish", RunCompletion},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

}  // namespace fastclip
