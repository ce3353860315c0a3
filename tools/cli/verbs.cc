#include <fmt/format.h>

#include <string_view>

#include "tools/cli/command.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h") {
    if (!about.empty()) fmt::print("{}\n", about);
    fmt::print("usage: fastclip {0} VERB …        fastclip {0} VERB --help tells more\n\n",
               command);
    for (const Command& verb : verbs) fmt::print("  {:<10} {}\n", verb.name, verb.Describe());
    fmt::print("\nexample: {}\n", example);
    return argc > 1 ? 0 : 2;
  }
  for (const Command& verb : verbs) {
    if (verb.name == name) return verb.run(argc - 1, argv + 1);
  }
  throw UsageError(
      fmt::format("there is no '{}'; fastclip {} --help lists what there is", name, command));
}

}  // namespace fastclip
