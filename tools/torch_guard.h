#pragma once

namespace fastclip {

struct Command;

/// Runs a command. An error in LibTorch becomes a one-line std::runtime_error, and a ConfigError a
/// UsageError. A build without LibTorch has neither error.
int RunGuarded(const Command& command, int argc, const char* const* argv);

}  // namespace fastclip
