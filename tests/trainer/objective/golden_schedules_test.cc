#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/objective/golden_objective.h"
#include "trainer/objective/gamma_schedule.h"
#include "trainer/objective/temperature.h"
#include "trainer/optim/learning_rate.h"

namespace fastclip {
namespace {

// Our value at each place of a schedule; empty where its kind is not built.
std::vector<double> Schedule(const GoldenFile& file, const std::string& name,
                             const nlohmann::json& about) {
  std::vector<double> values;
  const std::int64_t length = file.At(name).size(0);
  if (about.contains("gamma_min")) {
    const GammaOptions options{.schedule = about.at("schedule"),
                               .min = about.at("gamma_min"),
                               .decay_epochs = about.at("decay_epochs")};
    CheckGamma(options);
    for (std::int64_t epoch = 0; epoch < length; ++epoch) {
      values.push_back(Gamma(options, epoch, length));
    }
    return values;
  }
  if (file.Has(name + "_t")) {
    for (std::int64_t place = 0; place < length; ++place) {
      values.push_back(TemperatureRate({.lr = about.at("base_lr"), .schedule = "step_thresh"}, {},
                                       place, {length},
                                       file.At(name + "_t")[place].item<double>()));
    }
    return values;
  }
  const std::map<std::string, std::string> kinds = {
      {"cosine_lr", "cosine"}, {"const_lr", "const"}, {"const_lr_cooldown", "const-cooldown"}};
  const auto kind = kinds.find(about.value("fn", ""));
  if (kind == kinds.end()) return values;
  const LearningRateOptions options{
      .schedule = kind->second,
      .lr = about.at("base_lr"),
      .lr_min = about.value("lr_min", 0.0),
      .warmup = about.at("warmup_length"),
      .cooldown_epochs = about.value("cooldown_steps", 0),  // epochs of one step
      .cooldown_power = about.value("cooldown_power", 1.0),
      .cooldown_end = about.value("cooldown_end_lr", 0.0)};
  CheckLearningRate(options);
  const RunLength run{.steps = about.at("steps"), .steps_per_epoch = 1};
  for (std::int64_t step = 0; step < length; ++step) {
    values.push_back(LearningRate(options, step, run));
  }
  return values;
}

TEST(GoldenSchedules, GammaAndLearningRatesAgree) {
  ForEachGolden("schedules", [](const GoldenFile& file) {
    int cases = 0;
    for (const auto& [name, about] : file.about.at("tensors").items()) {
      if (name.ends_with("_t") && file.Has(name.substr(0, name.size() - 2))) continue;  // an input
      const std::vector<double> values = Schedule(file, name, about);
      if (values.empty()) {
        std::printf("skipped %s of %s: its kind is not built\n", name.c_str(), file.name.c_str());
        continue;
      }
      EXPECT_TRUE(Agrees(at::tensor(values, at::kDouble), file.At(name))) << name;
      ++cases;
    }
    return cases;
  });
}

}  // namespace
}  // namespace fastclip
