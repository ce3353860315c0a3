#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/config/config.h"
#include "trainer/config/config_keys.h"

namespace fastclip {

/// A config as checkpoint.json keeps it: each key with its value as TOML.
using ConfigValues = std::map<std::string, std::string>;

ConfigValues ValuesOf(TrainConfig config);
/// The config that another start wrote. Keys that this program does not know are left out, keys
/// that the other one did not know have their defaults.
TrainConfig ConfigFrom(const ConfigValues& values);
/// The values in a RUN/config.toml, in the same way. Empty where it cannot be read.
ConfigValues ReadConfigValues(const std::string& file);

struct ChangedKey {
  std::string name;
  std::string before, now;  ///< as TOML
  KeyChange change;
};
/// The keys whose values differ, in the table's order, but for `resume`, and for those that count
/// at a start alone and have their default now.
std::vector<ChangedKey> ChangedKeys(const ConfigValues& before, const ConfigValues& now);
/// "learning_rate.lr 0.0005 → 0.001 (changes results)".
std::string Describe(const ChangedKey& changed);

/// Where a resumed run stands, for both configs: their runs may differ in length.
struct SchedulePoint {
  std::int64_t step = 0, epoch = 0;
  RunLength before, now;
};
/// What jumps at that point because schedules changed: "learning rate 0 → 0.00025". Empty: nothing.
std::string DescribeJumps(const TrainConfig& before, const TrainConfig& now,
                          const SchedulePoint& at);

}  // namespace fastclip
