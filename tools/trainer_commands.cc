#include "tools/command.h"

namespace fastclip {

std::span<const Command> TrainerCommands() { return {}; }

}  // namespace fastclip
