#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/config/config.h"
#include "trainer/config/config_keys.h"

namespace fastclip {

/// A config as stored in checkpoint.json: each key with its value as TOML.
using ConfigValues = std::map<std::string, std::string>;

ConfigValues ValuesOf(TrainConfig config);
/// The config that an earlier start wrote. Unknown keys are ignored; missing keys have their
/// defaults.
TrainConfig ConfigFrom(const ConfigValues& values);
/// The values of a RUN/config.toml, read the same way. Empty if it cannot be read.
ConfigValues ReadConfigValues(const std::string& file);

struct ChangedKey {
  std::string name;
  std::string before, now;  ///< as TOML
  KeyChange change;
};
/// The keys whose values differ, in the table's order, except `resume` and start-only keys that now
/// have their default.
std::vector<ChangedKey> ChangedKeys(const ConfigValues& before, const ConfigValues& now);
/// "learning_rate.lr 0.0005 → 0.001 (changes results)".
std::string Describe(const ChangedKey& changed);

/// Position of a resumed run, for both configs: their runs can differ in length.
struct SchedulePoint {
  std::int64_t step = 0, epoch = 0;
  RunLength before, now;
};
/// Values that jump at that point because schedules changed: "learning rate 0 → 0.00025". Empty:
/// none.
std::string DescribeJumps(const TrainConfig& before, const TrainConfig& now,
                          const SchedulePoint& at);

}  // namespace fastclip
