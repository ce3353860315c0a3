#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// A subcommand: `run` gets the words after its name and returns the exit code. It throws
/// UsageError for wrong use (exit 2), any other std::exception for failure (exit 1). nullptr where
/// it needs LibTorch and this build has none.
struct Command {
  std::string name;
  std::string summary;
  int (*run)(int argc, const char* const* argv);  // argv[0] is the command's name
};

/// The command of that name; nullptr where there is none. Throws UsageError where it is not in this
/// build.
const Command* FindCommand(std::span<const Command> commands, std::string_view name);
/// "did you mean train? " where one has nearly that name, else "".
std::string NearCommand(std::span<const Command> commands, std::string_view name);
/// A line each: name and summary.
std::string ListCommands(std::span<const Command> commands);

/// Runs the verb that argv[1] names of `fastclip COMMAND VERB …`. --help, or no verb (exit 2),
/// prints `about` (one line, may be empty), the verbs and the example. Throws UsageError for
/// another verb.
int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv);

}  // namespace fastclip
