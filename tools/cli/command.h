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
  bool needs_torch = false;

  /// The summary; and where this build lacks what the command needs, that it does.
  std::string Describe() const;
};

/// Runs the verb that argv[1] names of `fastclip COMMAND VERB …`. --help, or no verb (exit 2),
/// prints `about` (one line, may be empty), the verbs and the example. Throws UsageError for
/// another verb.
int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv);

}  // namespace fastclip
