#include <array>

#include "tools/command.h"
#include "tools/shards_commands.h"

namespace fastclip {
namespace {

const std::array kCommands = {
    Command{"shards", "make, index and show tar shards", RunShards},
};

}  // namespace

std::span<const Command> DataCommands() { return kCommands; }

}  // namespace fastclip
