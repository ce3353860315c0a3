#include <array>

#include "tools/command.h"

namespace fastclip {

std::span<const Command> DataCommands() { return {}; }

}  // namespace fastclip
