#pragma once

#include <span>

#include "tools/cli/command.h"

namespace fastclip {

/// Every command of the program, in the order of `fastclip --help`.
std::span<const Command> Commands();

}  // namespace fastclip
