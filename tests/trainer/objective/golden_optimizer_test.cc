#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/objective/golden_objective.h"
#include "tests/trainer/with_roles.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {
namespace {

std::vector<std::string> ParameterNames(const GoldenFile& file) {
  return file.about.at("param_order").get<std::vector<std::string>>();
}

NamedTensors InitialParameters(const GoldenFile& file, at::ScalarType dtype) {
  NamedTensors parameters;
  for (const std::string& name : ParameterNames(file)) {
    const at::Tensor gradient =
        file.At("grads/" + name)[0];  // its shape: a 0-d initial value is stored as [1]
    parameters.emplace_back(name, file.At("init/" + name).to(dtype).clone().view(gradient.sizes()));
  }
  return parameters;
}

void SetGradients(const GoldenFile& file, const NamedTensors& parameters, std::int64_t step) {
  for (const auto& [name, parameter] : parameters) {
    at::Tensor(parameter).mutable_grad() =
        file.At("grads/" + name)[step].to(parameter.scalar_type()).clone();
  }
}

OptimizerOptions OptionsOf(const GoldenFile& file, const std::string& name) {
  OptimizerOptions options;
  options.name = name == "nesterov" ? "sgdm" : name.substr(0, name.find('_'));
  const bool vit = name.find("vit") != std::string::npos;
  options.beta2 = name == "lion" ? 0.99 : vit ? 0.98 : 0.999;
  options.eps = vit ? 1e-6 : 1e-8;
  options.weight_decay = file.about.at("config").at(name).at("weight_decay");
  options.nesterov = name == "nesterov";
  return options;
}

int RunOptimizer(const GoldenFile& file, const std::string& name) {
  int cases = 0;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    SCOPED_TRACE(testing::Message() << name << (dtype == at::kFloat ? " float32" : " float64"));
    const NamedTensors parameters = InitialParameters(file, dtype);
    const auto optimizer = MakeOptimizer(WithRoles(parameters), OptionsOf(file, name));
    const at::Tensor& rates = file.At(name + "/lr");
    for (std::int64_t step = 0; step < rates.size(0); ++step) {
      SetGradients(file, parameters, step);
      optimizer->Step({rates[step][0].item<double>(), rates[step][1].item<double>()});
      for (const auto& [parameter, value] : parameters) {
        EXPECT_TRUE(Agrees(value, file.At(name + "/" + parameter)[step])) << parameter;
      }
      for (const auto& [key, value] : optimizer->state()) {
        if (key == "step") {
          EXPECT_EQ(value.item<std::int64_t>(), step + 1);
          continue;
        }
        const std::size_t dot = key.find('.');
        const std::string golden = name + "/" + key.substr(dot + 1) + "#" + key.substr(0, dot);
        EXPECT_TRUE(Agrees(value, file.At(golden)[step])) << key;
      }
    }
    ++cases;
  }
  return cases;
}

int RunClip(const GoldenFile& file, const std::string& name) {
  int cases = 0;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    SCOPED_TRACE(name);
    const NamedTensors parameters = InitialParameters(file, dtype);
    const at::Tensor& norms = file.At(name + "/total_norm");
    for (std::int64_t step = 0; step < norms.size(0); ++step) {
      SetGradients(file, parameters, step);
      const at::Tensor norm =
          ClipGradients(parameters, file.about.at("config").at(name).at("max_norm"));
      EXPECT_TRUE(Agrees(norm, norms[step]));
      for (const auto& [parameter, value] : parameters) {
        EXPECT_TRUE(Agrees(value.grad(), file.At(name + "/" + parameter)[step])) << parameter;
      }
    }
    ++cases;
  }
  return cases;
}

TEST(GoldenOptimizer, StepsAndClippingAgree) {
  ForEachGolden("optimizers", [](const GoldenFile& file) {
    int cases = 0;
    for (const auto& [name, about] : file.about.at("config").items()) {
      if (name == "params") continue;
      cases += name.starts_with("clip") ? RunClip(file, name) : RunOptimizer(file, name);
    }
    return cases;
  });
}

// GroupOf is compared with PublishedGroup for every parameter of our towers (optimizer_test).
TEST(GoldenOptimizer, PublishedGroupsAgree) {
  ForEachGolden("optimizers", [](const GoldenFile& file) {
    int cases = 0;
    for (const std::string& name : ParameterNames(file)) {
      EXPECT_EQ(static_cast<int>(PublishedGroup(name, file.At("init/" + name))),
                file.about.at("config").at("params").at(name).at("group").get<int>())
          << name;
      ++cases;
    }
    return cases;
  });
}

}  // namespace
}  // namespace fastclip
