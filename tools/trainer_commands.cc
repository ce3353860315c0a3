#include <array>

#include "tools/command.h"
#include "tools/eval_command.h"
#include "tools/train_command.h"

namespace fastclip {
namespace {

const std::array kCommands = {
    Command{"train", "train a model from a config; resume, stop and go on", RunTrain},
    Command{"eval", "R@k of a trained model on shards that it has not seen", RunEval}};

}  // namespace

std::span<const Command> TrainerCommands() { return kCommands; }

}  // namespace fastclip
