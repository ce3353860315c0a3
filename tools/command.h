#pragma once

#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// A subcommand: `run` gets the words after its name and returns the exit code. It throws
/// UsageError for wrong use (exit 2), any other std::exception for failure (exit 1).
struct Command {
  std::string name;
  std::string summary;
  int (*run)(int argc, const char* const* argv);  // argv[0] is the command's name
};

/// Runs the verb that argv[1] names of `fastclip COMMAND VERB …`. --help, or no verb (exit 2),
/// prints `about` (one line, may be empty), the verbs and the example. Throws UsageError for
/// another verb.
int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv);

/// One table a library: tools that need no LibTorch, and those that do.
std::span<const Command> DataCommands();
std::span<const Command> TrainerCommands();
/// The verbs of `fastclip bench` that need LibTorch.
std::span<const Command> TrainerBenches();

}  // namespace fastclip
