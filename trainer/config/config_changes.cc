#include "trainer/config/config_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

constexpr std::int64_t kConfigLimit = 1 << 20;
// Equal schedules can differ in the last bits.
constexpr double kSame = 1e-9;

}  // namespace

ConfigValues ValuesOf(TrainConfig config) {
  ConfigTable table;
  BindConfig(config, table);
  const auto values = table.Values();
  return {values.begin(), values.end()};
}

TrainConfig ConfigFrom(const ConfigValues& values) {
  TrainConfig config;
  ConfigTable table;
  BindConfig(config, table);
  for (const auto& [key, value] : values) {
    try {
      table.Override(key + "=" + value);
    } catch (const ConfigError&) {  // another program's
    }
  }
  return config;
}

ConfigValues ReadConfigValues(const std::string& file) {
  TrainConfig config;
  ConfigTable table;
  BindConfig(config, table);
  try {
    table.ReadKnownKeys(ReadWholeFile(file, kConfigLimit), file);
  } catch (const std::runtime_error&) {
    return {};
  }
  return ValuesOf(config);
}

std::vector<ChangedKey> ChangedKeys(const ConfigValues& before, const ConfigValues& now) {
  const ConfigValues defaults = ValuesOf(TrainConfig());
  std::vector<ChangedKey> changed;
  for (const KeyInfo& key : ConfigKeys()) {
    const std::string name(key.name);
    const auto is = now.find(name);
    if (is == now.end() || name == "resume") continue;
    const auto was = before.contains(name) ? before.find(name) : defaults.find(name);
    if (was->second == is->second) continue;
    if (key.change == KeyChange::kStartOnly && is->second == defaults.at(name)) continue;
    changed.push_back({name, was->second, is->second, key.change});
  }
  return changed;
}

std::string Describe(const ChangedKey& changed) {
  return fmt::format("{} {} → {} ({})", changed.name, changed.before, changed.now,
                     DescribeChange(changed.change));
}

std::string DescribeJumps(const TrainConfig& before, const TrainConfig& now,
                          const SchedulePoint& at) {
  std::string text;
  const auto compare = [&](const char* what, double was, double is) {
    if (std::abs(was - is) <= kSame * std::max(std::abs(was), std::abs(is))) return;
    text += fmt::format("{}{} {:.4g} → {:.4g}", text.empty() ? "" : ", ", what, was, is);
  };
  compare("learning rate", LearningRate(before.learning_rate, at.step, at.before),
          LearningRate(now.learning_rate, at.step, at.now));
  compare("gamma", Gamma(before.gamma, at.epoch, before.train.epochs),
          Gamma(now.gamma, at.epoch, now.train.epochs));
  return text;
}

}  // namespace fastclip
