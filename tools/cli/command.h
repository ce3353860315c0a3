#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fastclip {

/// Gets the words after a command's name, argv[0], and returns the exit code. Throws UsageError for
/// wrong use (exit 2), any other std::exception for failure (exit 1).
using RunCommand = int(int argc, const char* const* argv);

/// A subcommand. `run` is nullptr if it needs LibTorch and this build has none.
struct Command {
  std::string name;
  std::string summary;
  RunCommand* run;
};

/// The command with that name, or nullptr. Throws UsageError if it is not in this build.
const Command* FindCommand(std::span<const Command> commands, std::string_view name);
/// "did you mean train? " if a command has a similar name, else "".
std::string NearCommand(std::span<const Command> commands, std::string_view name);
/// "did you mean shards lint? " for "lint", a verb of another command; else "".
std::string CommandOfVerb(std::string_view name);
/// One line per command: name and summary.
std::string ListCommands(std::span<const Command> commands);

/// Runs `fastclip COMMAND VERB …`; argv[1] is the verb. --help, or no verb (exit 2), prints `about`
/// (one line), the verbs and the example. Throws UsageError for an unknown verb.
int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv);

}  // namespace fastclip
