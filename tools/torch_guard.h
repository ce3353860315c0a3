#pragma once

namespace fastclip {

struct Command;

/// Runs a command. What goes wrong in LibTorch is one line, and a config that cannot be used wrong
/// use. In a build without LibTorch there is neither.
int RunGuarded(const Command& command, int argc, const char* const* argv);

}  // namespace fastclip
