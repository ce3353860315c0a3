#include "trainer/config/label_task.h"

#include "trainer/config/config_changes.h"

namespace fastclip {

std::vector<std::string> SetLabelTask(TrainConfig& config) {
  const ConfigValues before = ValuesOf(config), defaults = ValuesOf(TrainConfig());
  config.objective = {.name = "openclip", .mode = "exact"};
  config.gamma = {};
  // It stays what the weights have, for a zero-shot head; RUN/config.toml says what that is.
  TemperatureOptions temperature;
  temperature.from = "weights";
  temperature.init = config.temperature.init;
  temperature.logit_bias = config.temperature.logit_bias;
  config.temperature = temperature;
  std::vector<std::string> idle;
  for (const auto& [key, now] : ValuesOf(config)) {
    if (before.at(key) != now && before.at(key) != defaults.at(key)) idle.push_back(key);
  }
  return idle;
}

}  // namespace fastclip
