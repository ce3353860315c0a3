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
    const GammaOptions options{about.at("schedule"), about.at("gamma_min"),
                               about.at("decay_epochs")};
    CheckGamma(options);
    for (std::int64_t epoch = 0; epoch < length; ++epoch) {
      values.push_back(Gamma(options, epoch, length));
    }
    return values;
  }
  if (file.Has(name + "_t")) {
    for (std::int64_t place = 0; place < length; ++place) {
      values.push_back(TemperatureRate({.lr = about.at("base_lr"), .schedule = "step_thresh"}, {},
                                       place, length, file.At(name + "_t")[place]));
    }
    return values;
  }
  const std::string function = about.value("fn", "");
  if (function != "cosine_lr" && function != "const_lr") return values;
  const LearningRateOptions options{function == "cosine_lr" ? "cosine" : "const",
                                    about.at("base_lr"), about.value("lr_min", 0.0),
                                    about.at("warmup_length")};
  CheckLearningRate(options);
  for (std::int64_t step = 0; step < length; ++step) {
    values.push_back(LearningRate(options, step, about.at("steps")));
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
