#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/nearest.h"
#include "pipeline/base/suggested_command.h"
#include "tools/cli/command.h"
#include "tools/cli/usage_error.h"

namespace fastclip {

const Command* FindCommand(std::span<const Command> commands, std::string_view name) {
  for (const Command& command : commands) {
    if (command.name != name) continue;
    if (command.run != nullptr) return &command;
    throw UsageError(
        fmt::format("this binary was built with -DFASTCLIP_TRAINER=OFF and has no '{}'; build with "
                    "tools/setup.sh and cmake --preset release",
                    name));
  }
  return nullptr;
}

std::string NearCommand(std::span<const Command> commands, std::string_view name) {
  std::vector<std::string> names;
  for (const Command& command : commands) {
    names.push_back(command.name);
    if (name.size() >= 3 && command.name.starts_with(name)) return DidYouMean(command.name) + " ";
  }
  const std::string near = Nearest(std::string(name), names, name.size() < 4 ? 1 : 2);
  return near.empty() ? "" : DidYouMean(near) + " ";
}

std::string CommandOfVerb(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kVerbs[] = {
      {"shards", "convert"},  {"shards", "index"},      {"shards", "info"},
      {"shards", "lint"},     {"shards", "replay"},     {"config", "defaults"},
      {"config", "keys"},     {"config", "check"},      {"config", "diff"},
      {"estimators", "show"}, {"estimators", "export"}, {"eval", "retrieval"},
      {"eval", "zeroshot"},   {"eval", "linear"},       {"eval", "classify"},
      {"adapt", "import"},    {"adapt", "merge"},       {"adapt", "unmerge"},
      {"adapt", "fuse"}};
  for (const auto& [command, verb] : kVerbs) {
    if (name == verb) return DidYouMean(fmt::format("{} {}", command, verb)) + " ";
  }
  return "";
}

std::string ListCommands(std::span<const Command> commands) {
  std::string list;
  for (const Command& command : commands) {
    list += fmt::format("  {:<11} {}{}\n", command.name, command.summary,
                        command.run == nullptr ? " (needs LibTorch: not in this build)" : "");
  }
  return list;
}

int RunVerb(const std::string& command, std::span<const Command> verbs, const std::string& about,
            const std::string& example, int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h") {
    fmt::print("{3}\nusage: {4} {0} VERB …\n       {4} {0} VERB --help\n\n{1}\nexample: {2}\n",
               command, ListCommands(verbs), WithProgramTyped(example), about, ProgramTyped());
    return argc > 1 ? 0 : 2;
  }
  if (const Command* verb = FindCommand(verbs, name)) return verb->run(argc - 1, argv + 1);
  std::string advice = NearCommand(verbs, name);
  if (advice.empty()) {
    for (const Command& verb : verbs) advice += (advice.empty() ? "use " : ", ") + verb.name;
    advice += "; ";
  }
  throw UsageError(fmt::format("unknown command '{2} {0}'; {1}{3} {2} --help lists the commands",
                               name, advice, command, ProgramTyped()));
}

}  // namespace fastclip
