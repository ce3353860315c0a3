#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/paths.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/towers.h"

// OpenCLIP's towers in float64, weights and outputs in files: features, the gradient of every
// parameter and the running statistics after a training step, to 1e-10 of the tensor's largest
// magnitude.

namespace fastclip {
namespace {

using Json = nlohmann::json;
constexpr double kTolerance = 1e-10;

ModelConfig ConfigOf(const std::string& name, const Json& json) {
  ModelConfig config;
  config.name = name;
  config.embed_dim = json.at("embed_dim");
  config.quick_gelu = json.at("quick_gelu");
  const Json &vision = json.at("vision"), &text = json.at("text");
  config.vision = {.image_size = vision.at("image_size"),
                   .patch_size = vision.value("patch_size", 32),
                   .width = vision.at("width"),
                   .head_width = vision.at("head_width"),
                   .mlp_ratio = vision.value("mlp_ratio", 4.0)};
  if (vision.at("layers").is_array()) {
    vision.at("layers").get_to(config.vision.resnet_layers);
  } else {
    config.vision.layers = vision.at("layers");
  }
  config.text = {.context_length = text.at("context_length"),
                 .vocab_size = text.at("vocab_size"),
                 .width = text.at("width"),
                 .heads = text.at("heads"),
                 .layers = text.at("layers"),
                 .mlp_ratio = text.value("mlp_ratio", 4.0)};
  return config;
}

using Tensors = std::map<std::string, at::Tensor>;

NamedTensors Under(const Tensors& tensors, const std::string& prefix) {
  NamedTensors found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
  }
  return found;
}

// To kTolerance of the largest magnitude in `scale`.
void ExpectClose(const at::Tensor& ours, const at::Tensor& golden, const std::string& what,
                 const at::Tensor& scale) {
  ASSERT_EQ(ours.sizes(), golden.sizes()) << what;
  const double largest = std::max(scale.abs().max().item<double>(), 1e-30);
  EXPECT_LE((ours - golden).abs().max().item<double>() / largest, kTolerance) << what;
}

PerSide<at::Tensor> Evaluate(const ClipModel& model, const MicroBatch& batch) {
  return {model.EncodeImage(batch.images), model.EncodeText(batch.tokens, batch.pool)};
}

void CheckGradients(const ClipModel& model, const Tensors& golden, const std::string& part) {
  // A key's offset adds the same to every score of a query, so that its gradient is rounding alone:
  // it is measured against the gradient of the key's weight.
  const std::string key = "visual.attnpool.k_proj.";
  std::size_t compared = 0;
  for (const auto& [name, parameter] : model.parameters()) {
    const auto found = golden.find(part + "grad/" + name);
    if (found == golden.end()) continue;
    const std::string scale = name == key + "bias" ? key + "weight" : name;
    ExpectClose(parameter.grad(), found->second, part + "grad/" + name,
                golden.at(part + "grad/" + scale));
    ++compared;
  }
  if (Under(golden, part + "grad/").empty()) return;
  EXPECT_EQ(compared, model.parameters().size() - 1) << "every parameter but logit_scale";
}

// `images`, `tokens` in the layout of a case; `trimmed`: columns of tokens kept.
void CheckCase(const ModelConfig& config, const Tensors& golden, const std::string& part,
               at::MemoryFormat layout, bool trimmed) {
  ClipModel model(config, 1, 0.07, at::kDouble);
  model.Load(Under(golden, "weight/"), config.name);
  MicroBatch batch{golden.at("image").contiguous(layout), golden.at("text"), {}};
  batch.pool = batch.tokens.argmax(-1);
  if (trimmed) {
    batch.tokens =
        batch.tokens.narrow(1, 0, batch.pool.max().item<std::int64_t>() + 1).contiguous();
  }
  Towers towers(model);
  const bool training = part == "train/";
  const PerSide<at::Tensor> features =
      training ? towers.Forward({&batch, 1}) : Evaluate(model, batch);
  const at::Tensor &image = golden.at(part + "image_features"),
                   &text = golden.at(part + "text_features");
  ExpectClose(features.image, image, part + "image_features", image);
  ExpectClose(features.text, text, part + "text_features", text);
  const at::Tensor ramp =
      at::linspace(-1, 1, features.image.numel(), at::kDouble).view_as(features.image);
  if (training) {
    towers.Backward({&batch, 1}, {ramp, -ramp});
  } else {
    features.image.backward(ramp);
    features.text.backward(-ramp);
  }
  CheckGradients(model, golden, part);
  for (const auto& [name, buffer] : model.buffers()) {
    const auto after = golden.find(part + "buffer/" + name);
    const at::Tensor& before = golden.at("weight/" + name);
    EXPECT_TRUE(training || at::equal(buffer, before)) << name;
    if (after != golden.end()) ExpectClose(buffer, after->second, after->first, after->second);
  }
}

// Returns the number of cases compared.
int CheckFolder(const std::filesystem::path& folder) {
  std::ifstream in(folder / "towers.json");
  const Json manifest = Json::parse(in);
  int cases = 0;
  for (const auto& [name, json] : manifest.at("cases").items()) {
    SCOPED_TRACE(name);
    Tensors golden;
    for (auto& [key, tensor] :
         ReadSafetensors(folder / ("tower_" + name + ".safetensors")).tensors) {
      golden.emplace(key, tensor);
    }
    for (const char* part : {"train/", "eval/"}) {
      if (Under(golden, part).empty()) continue;
      for (const auto layout : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
        for (const bool trimmed : {false, true})
          CheckCase(ConfigOf(name, json), golden, part, layout, trimmed);
      }
    }
    ++cases;
  }
  return cases;
}

TEST(TowerGolden, FollowsOpenClipInTheCopiesOfTheProject) {
  const int cases = CheckFolder("tests/golden");
  std::printf("%d cases\n", cases);
  EXPECT_GT(cases, 0);
}

TEST(TowerGolden, FollowsOpenClipInTheSharedFolder) {
  if (SharedFolder().empty()) GTEST_SKIP() << "no shared folder: golden/openclip is skipped";
  const int cases = CheckFolder(SharedFolder() / "golden/openclip");
  std::printf("%d cases\n", cases);
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace fastclip
