#include <array>

#include "tools/command.h"
#include "tools/train_command.h"

namespace fastclip {
namespace {

const std::array kCommands = {
    Command{"train", "train a model from a config; resume, stop and go on", RunTrain}};

}  // namespace

std::span<const Command> TrainerCommands() { return kCommands; }

}  // namespace fastclip
