#include <array>

#include "tools/bench_commands.h"
#include "tools/command.h"
#include "tools/eval_command.h"
#include "tools/train_command.h"

namespace fastclip {
namespace {

const std::array kCommands = {
    Command{"train", "train a model from a config; resume, stop and go on", RunTrain},
    Command{"eval", "retrieval, zero-shot and linear-probe figures of a trained model", RunEval},
    Command{"bench", "measure speed and memory", RunBench},
};

}  // namespace

std::span<const Command> TrainerCommands() { return kCommands; }

}  // namespace fastclip
