#pragma once

#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// A subcommand: `run` gets the words after its name and returns the exit code. It throws UsageError
/// for wrong use (exit 2), any other std::exception for failure (exit 1).
struct Command {
  std::string name;
  std::string summary;
  int (*run)(int argc, const char* const* argv);  // argv[0] is the command's name
};

/// One table a library: tools that need no LibTorch, and those that do.
std::span<const Command> DataCommands();
std::span<const Command> TrainerCommands();

}  // namespace fastclip
