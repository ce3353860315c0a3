#include "tools/train/config_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "pipeline/base/suggested_command.h"
#include "tools/cli/usage_error.h"
#include "trainer/config/key_advice.h"
#include "trainer/state/foreign_weights.h"

namespace fastclip {
namespace {

constexpr const char* kExampleConfig = "configs/own-data/vit-b-32.toml";

/// Whether some word is a config or a run folder.
bool HasConfig(int argc, const char* const* argv) {
  return std::any_of(argv + 1, argv + argc, [](std::string_view word) {
    std::error_code absent;
    return word.ends_with(".toml") ||
           std::filesystem::is_regular_file(std::filesystem::path(word) / "config.toml", absent);
  });
}

}  // namespace

void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> unknown, advised;  // options; each with its advice
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const std::string option(word.substr(0, word.find('=')));
    if (app.get_option_no_throw(option) != nullptr) continue;
    if (const std::string advice = AdviceOn(option); !advice.empty()) {
      unknown.push_back(option);
      advised.push_back(fmt::format("{}; {}", option, advice));
    }
  }
  if (unknown.empty()) return;
  const bool lacks_config = app.get_option_no_throw("CONFIG") != nullptr && !HasConfig(argc, argv);
  const std::string form =
      lacks_config ? fmt::format(
                         "CONFIG is missing, and keys come after it as section.key=value: "
                         "{} {} data.train=…",
                         WithProgramTyped(app.get_name()), kExampleConfig)
                   : "keys are set as section.key=value";
  if (unknown.size() == 1) {
    throw UsageError(
        fmt::format("unknown option {}; {}; {}", unknown.front(), form, AdviceOn(unknown.front())));
  }
  throw UsageError(fmt::format("unknown options; {}\n  {}", form, fmt::join(advised, "\n  ")));
}

void RefuseOtherThanConfig(const std::string& command, const std::string& path,
                           const std::vector<std::string>& overrides) {
  std::string keys;
  for (const std::string& word : overrides) keys += " " + ShellWord(word);
  std::error_code absent;
  const std::size_t equals = path.find('=');
  if (equals != path.npos && equals > 0 && !std::filesystem::exists(path, absent) &&
      path.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == equals) {
    throw UsageError(fmt::format("CONFIG is missing; keys come after it: {} {} {}{}", command,
                                 kExampleConfig, ShellWord(path), keys));
  }
  std::string name = path;
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  for (const char* ending : {".csv", ".tsv", ".jsonl", ".ndjson", ".tar", ".parquet"}) {
    if (!name.ends_with(ending)) continue;
    throw UsageError(fmt::format("{} is data, not a config; use {} {} {}{}", path, command,
                                 kExampleConfig, ShellWord("data.train=" + path), keys));
  }
  char head[64] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(head, sizeof(head));
  const std::string other =
      OtherFormat(path, std::string_view(head, static_cast<std::size_t>(file.gcount())));
  if (other.empty() && !path.ends_with(".safetensors")) return;
  throw UsageError(
      fmt::format("{}; a run that starts from weights needs a config: {} CONFIG.toml "
                  "model.pretrained=FILE.safetensors",
                  other.empty() ? path + " is a file of weights, not a config" : other, command));
}

}  // namespace fastclip
