#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/nearest.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/shards/shard_list.h"
#include "tools/cli/cli.h"
#include "tools/cli/command.h"
#include "tools/cli/usage_error.h"
#include "tools/train/config_words.h"
#include "trainer/config/config.h"
#include "trainer/config/config_changes.h"
#include "trainer/config/config_keys.h"
#include "trainer/config/explained_config.h"
#include "trainer/config/idle_keys.h"
#include "trainer/config/key_advice.h"
#include "trainer/run/planned_data.h"
#include "trainer/run/run_setup.h"

namespace fastclip {
namespace {

/// The effect of a changed key on a resumed run.
const char* MeaningOf(KeyChange change) {
  switch (change) {
    case KeyChange::kNothing:
      return "changes no result";
    case KeyChange::kRounding:
      return "changes rounding";
    case KeyChange::kEvaluation:
      return "changes evaluations";
    case KeyChange::kNumbers:
      return "changes results";
    case KeyChange::kStartOnly:
      return "used only when a run starts";
    case KeyChange::kSameSample:
    case KeyChange::kSameState:
      return "refused on resume, unless the result is the same";
  }
  return "";
}

/// All keys with their defaults.
ConfigTable Defaults(TrainConfig& config) {
  ConfigTable table;
  BindConfig(config, table);
  return table;
}

int PrintDefaults(int argc, const char* const* argv) {
  CLI::App app(
      "Prints a config file with every key, its default and an explanation. Before a run, set\n"
      "those that have no default: run, data.train and objective.mode.",
      "fastclip config defaults");
  app.footer("example: fastclip config defaults > mine.toml");
  if (!ParseArguments(app, argc, argv)) return 0;
  TrainConfig config;
  fmt::print("# Set run, data.train and objective.mode, which have no default.\n\n{}",
             ExplainedConfig(Defaults(config)));
  return 0;
}

/// For the completion in a shell.
int PrintValues(const ConfigTable& table, const std::string& key) {
  if (FindKey(key) == nullptr) {
    const std::string advice = AdviceOn(key);
    throw UsageError(fmt::format("unknown key {}{}{}", key, advice.empty() ? "" : "; ", advice));
  }
  for (const std::string& value : table.ChoicesOf(key)) fmt::print("{}\n", value);
  return 0;
}

int PrintKeys(int argc, const char* const* argv) {
  std::string word;
  std::string values_of;
  CLI::App app(
      "Explains config keys: default, type and range, effect, what a change means when a run is\n"
      "resumed, and the key's names in other programs.",
      "fastclip config keys");
  app.add_option(
      "WORD", word,
      "only keys whose name, or name in another program, contains this; if there are none, "
      "those whose explanation does");
  app.add_option("--values", values_of,
                 "print only the fixed values of this key, one per line; nothing for a key that "
                 "takes a number or any text");
  app.footer("example: fastclip config keys learning_rate");
  AdviseOnOptions(app, argc, argv);
  if (!ParseArguments(app, argc, argv)) return 0;
  std::ranges::replace(word, '-', '_');  // as OpenCLIP's options become names
  TrainConfig config;
  const ConfigTable table = Defaults(config);
  if (!values_of.empty()) return PrintValues(table, values_of);
  const auto print_those = [&](const auto& wanted) {
    std::string_view text;  // keys that share one are explained together
    for (const auto& [name, value] : table.Values()) {
      const KeyInfo& info = *FindKey(name);
      if (!wanted(info)) continue;
      if (!text.empty() && TextOf(info) != text) fmt::print("{}", Wrapped(text, "    ", 100));
      text = TextOf(info);
      fmt::print("{} = {}\n    {}; if it changes on resume: {}{}\n", name, value,
                 table.KindOf(name), MeaningOf(info.change),
                 info.other_names.empty() ? "" : fmt::format("; also: {}", info.other_names));
    }
    if (!text.empty()) fmt::print("{}", Wrapped(text, "    ", 100));
    return !text.empty();
  };
  if (print_those([&](const KeyInfo& info) {
        return info.name.find(word) != info.name.npos ||
               info.other_names.find(word) != info.other_names.npos;
      })) {
    return 0;
  }
  std::string advice = AdviceOn(word);
  // The explanations of keys are searched only for words that are no name anywhere.
  if (advice.empty() && print_those([&](const KeyInfo& info) {
        return TextOf(info).find(word) != std::string_view::npos;
      })) {
    return 0;
  }
  if (const std::string key = KeyNearTo(word); advice.empty() && !key.empty()) {
    advice = DidYouMean(key);
  }
  throw UsageError(fmt::format("no key contains '{}', in its name or explanation{}{}", word,
                               advice.empty() ? "" : "; ", advice));
}

int Check(int argc, const char* const* argv) {
  std::string path;
  std::vector<std::string> overrides;
  CLI::App app(
      "Checks a config without reading its data. `fastclip train CONFIG --dry-run` checks the\n"
      "data too.",
      "fastclip config check");
  app.add_option("CONFIG", path, kConfigHelp)->required();
  app.add_option("OVERRIDES", overrides, kOverridesHelp);
  app.footer("example: fastclip config check configs/quickstart.toml train.epochs=10");
  AdviseOnOptions(app, argc, argv);
  if (!ParseArguments(app, argc, argv)) return 0;
  RefuseOtherThanConfig(WithProgramTyped(app.get_name()), path, overrides);
  const LoadedConfig config(path, overrides);
  ModelOf(config);
  // Checks batch, lanes and mix together, with sources that are large enough.
  const std::vector<std::string> sources = SplitList(config->data.train);
  const auto made_up = [](const std::string& part) { return part.starts_with("synthetic:"); };
  const std::vector<std::int64_t> records(
      std::ranges::all_of(sources, made_up) ? 0 : sources.size(), 1'000'000'000);
  PlanOf(config, *OpenPlanned(config, records, ClassesOf(config)).source);
  for (const std::string& line : KeysWithoutEffect(*config)) fmt::print("{}\n", line);
  std::size_t set = 0;
  const std::vector<std::string> keys = config.table().keys();
  for (const std::string& key : keys) set += config.table().Origin(key) != "the default" ? 1 : 0;
  fmt::print("{}: {} of {} keys set; no errors (data not checked)\n", path, set, keys.size());
  return 0;
}

int Diff(int argc, const char* const* argv) {
  std::string before, now;
  CLI::App app(
      "Lists the keys that differ between two configs, and what each change means when a run is\n"
      "resumed.",
      "fastclip config diff");
  app.add_option("BEFORE", before, kConfigHelp)->required();
  app.add_option("NOW", now, kConfigHelp)->required();
  app.footer("example: fastclip config diff configs/quickstart.toml runs/quickstart");
  if (!ParseArguments(app, argc, argv)) return 0;
  const LoadedConfig a(before, {}), b(now, {});
  const std::vector<ChangedKey> changed = ChangedKeys(ValuesOf(*a), ValuesOf(*b));
  for (const ChangedKey& key : changed) {
    fmt::print("{} {} → {} ({})\n", key.name, key.before, key.now, MeaningOf(key.change));
  }
  if (changed.empty()) fmt::print("no keys differ\n");
  return 0;
}

const Command kVerbs[] = {
    {"defaults", "print a config file with every key and its default", PrintDefaults},
    {"keys", "explain keys: default, range, effect, what a change means", PrintKeys},
    {"check", "check a config without reading its data", Check},
    {"diff", "list the keys that differ between two configs or runs", Diff},
};

}  // namespace

/// `fastclip config VERB …`.
int RunConfig(int argc, const char* const* argv) {
  return RunVerb("config", kVerbs, "Shows, checks and compares configs.",
                 "fastclip config check configs/quickstart.toml", argc, argv);
}

}  // namespace fastclip
