#include "trainer/model/modified_resnet.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <stdexcept>

#include "trainer/step/towers.h"

namespace fastclip {
namespace {

ModelConfig Small() {
  ModelConfig config;
  config.embed_dim = 12;
  config.vision = {.image_size = 64, .width = 4, .head_width = 16, .resnet_layers = {1, 2, 1, 1}};
  config.text = {.context_length = 8, .vocab_size = 40, .width = 16, .heads = 2, .layers = 1};
  return config;
}

std::map<std::string, at::Tensor> Copies(const NamedTensors& tensors) {
  std::map<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : tensors) copies.emplace(name, tensor.detach().clone());
  return copies;
}

// A fresh block's branch is multiplied by zero: random gains let a gradient through.
void Wake(const ClipModel& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : model.parameters()) {
    if (name.ends_with("bn3.weight")) {
      parameter.copy_(at::linspace(0.5, 1.5, parameter.numel(), at::kDouble));
    }
  }
}

MicroBatch SomeBatch(std::int64_t rows) {
  MicroBatch batch;
  batch.images = at::linspace(-9, 9, rows * 3 * 64 * 64, at::kDouble).sin().view({rows, 3, 64, 64});
  batch.tokens = at::arange(rows * 8, at::kLong).remainder(39).view({rows, 8});
  batch.pool = at::full({rows}, 5, at::kLong);
  return batch;
}

MicroBatch Part(const MicroBatch& whole, std::int64_t first, std::int64_t rows) {
  return {whole.images.narrow(0, first, rows), whole.tokens.narrow(0, first, rows),
          whole.pool.narrow(0, first, rows)};
}

TEST(ModifiedResNet, ListsParametersInTheOrderOfAStateDict) {
  const ClipModel model(Small(), 0, 0.07, at::kFloat);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.parameters()) {
    if (name.starts_with("visual.")) names.push_back(name.substr(7));
  }
  std::vector<std::string> expected;
  const auto norm = [&](const std::string& conv, const std::string& bn) {
    for (const std::string& name : {conv + ".weight", bn + ".weight", bn + ".bias"})
      expected.push_back(name);
  };
  const auto three = [&](const std::string& prefix) {
    for (const char* n : {"1", "2", "3"}) norm(prefix + "conv" + n, prefix + "bn" + n);
  };
  three("");
  for (const char* block : {"layer1.0.", "layer2.0.", "layer2.1.", "layer3.0.", "layer4.0."}) {
    three(block);
    const std::string around = std::string(block) + "downsample.";
    if (around != "layer2.1.downsample.") norm(around + "0", around + "1");
  }
  expected.push_back("attnpool.positional_embedding");
  for (const char* name : {"k_proj", "q_proj", "v_proj", "c_proj"}) {
    for (const char* tensor : {".weight", ".bias"})
      expected.push_back(std::string("attnpool.") + name + tensor);
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(model.buffers().size(), 3u * (3 + 5 * 3 + 4));
  for (const auto& [name, buffer] : model.buffers()) {
    EXPECT_FALSE(buffer.requires_grad()) << name;
    EXPECT_EQ(buffer.scalar_type(), name.ends_with("num_batches_tracked") ? at::kLong : at::kFloat)
        << name;
  }
}

TEST(ModifiedResNet, StartsWithOpenClipsDistributions) {
  ModelConfig config = Small();
  config.vision.width = 16;
  const auto weights = Copies(ClipModel(config, 7, 0.07, at::kDouble).parameters());
  struct Expected {
    const char* name;
    bool normal;
    double scale;  // the standard deviation, or the bound of a uniform
  };
  const double root = std::sqrt(16.0 * 32);
  const Expected table[] = {{"visual.conv2.weight", false, 1 / std::sqrt(8.0 * 9)},
                            {"visual.layer2.1.conv2.weight", false, 1 / std::sqrt(32.0 * 9)},
                            {"visual.layer3.0.downsample.0.weight", false, 1 / std::sqrt(128.0)},
                            {"visual.attnpool.positional_embedding", true, 1 / root},
                            {"visual.attnpool.q_proj.weight", true, 1 / root},
                            {"visual.attnpool.k_proj.bias", false, 1 / root},
                            {"visual.attnpool.c_proj.weight", true, 1 / root}};
  for (const auto& [name, normal, scale] : table) {
    const at::Tensor x = weights.at(name) / scale;
    const double n = static_cast<double>(x.numel()), variance = normal ? 1 : 1.0 / 3;
    // Five standard errors; the fourth moment of a normal is 3, of a uniform in ±1 it is 1/5.
    EXPECT_NEAR(x.mean().item<double>(), 0, 5 * std::sqrt(variance / n)) << name;
    EXPECT_NEAR(x.square().mean().item<double>(), variance,
                5 * std::sqrt((normal ? 2.0 : 1.0 / 5 - 1.0 / 9) / n))
        << name;
    EXPECT_EQ(x.abs().max().item<double>() > 1, normal) << name;
  }
  EXPECT_EQ(weights.at("visual.bn3.weight").min().item<double>(), 1);
  EXPECT_EQ(weights.at("visual.layer1.0.bn2.weight").min().item<double>(), 1);
  EXPECT_EQ(weights.at("visual.layer1.0.downsample.1.weight").min().item<double>(), 1);
  for (const char* name : {"visual.layer1.0.bn3.weight", "visual.layer2.1.bn3.weight"})
    EXPECT_EQ(weights.at(name).abs().max().item<double>(), 0) << name;
}

TEST(ModifiedResNet, WritesRunningStatisticsInTheFirstPassOnly) {
  const MicroBatch whole = SomeBatch(6);
  const std::vector<MicroBatch> parts = {Part(whole, 0, 2), Part(whole, 2, 4)};
  const ClipModel model(Small(), 1, 0.07, at::kDouble), twin(Small(), 1, 0.07, at::kDouble);
  for (const MicroBatch& part : parts) {
    const at::NoGradGuard no_grad;
    twin.EncodeImage(part.images, TowerMode::kTrain);
  }
  const auto expected = Copies(twin.buffers()), fresh = Copies(model.buffers());
  Towers towers(model);
  const PerSide<at::Tensor> features = towers.Forward(parts);
  const auto between = Copies(model.buffers());
  towers.Backward(parts, {at::ones_like(features.image), at::ones_like(features.text)});
  for (const auto& [name, buffer] : model.buffers()) {
    EXPECT_TRUE(at::equal(buffer, between.at(name))) << name;
    EXPECT_TRUE(at::equal(buffer, expected.at(name))) << name;
    EXPECT_FALSE(at::equal(buffer, fresh.at(name))) << name;
    EXPECT_TRUE(!name.ends_with("num_batches_tracked") || buffer.item<std::int64_t>() == 2) << name;
  }
}

TEST(ModifiedResNet, GivesTheGradientsOfEachMicroBatchInTwoPasses) {
  const MicroBatch whole = SomeBatch(6);
  const std::vector<MicroBatch> parts = {Part(whole, 0, 2), Part(whole, 2, 4)};
  const ClipModel model(Small(), 1, 0.07, at::kDouble), twin(Small(), 1, 0.07, at::kDouble);
  Wake(model), Wake(twin);
  const at::Tensor gradient = at::linspace(-1, 1, 6 * 12, at::kDouble).view({6, 12});
  Towers towers(model), each(twin);
  towers.Forward(parts);
  towers.Backward(parts, {gradient, gradient});
  std::int64_t first = 0;
  for (const MicroBatch& part : parts) {
    const at::Tensor rows = gradient.narrow(0, first, part.images.size(0));
    each.Forward({&part, 1});
    each.Backward({&part, 1}, {rows, rows});
    first += part.images.size(0);
  }
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const auto& [name, parameter] = model.parameters()[i];
    if (name == "logit_scale") continue;
    EXPECT_TRUE(at::allclose(parameter.grad(), twin.parameters()[i].second.grad(), 1e-12, 1e-14))
        << name;
  }
}

TEST(ModifiedResNet, EvaluatesByRunningStatisticsAndWritesNothing) {
  const ClipModel model(Small(), 1, 0.07, at::kDouble);
  const MicroBatch batch = SomeBatch(4);
  const at::NoGradGuard no_grad;
  const at::Tensor trained = model.EncodeImage(batch.images, TowerMode::kTrain);
  const auto before = Copies(model.buffers());
  const at::Tensor together = model.EncodeImage(batch.images);
  const at::Tensor alone = model.EncodeImage(batch.images.narrow(0, 0, 1));
  EXPECT_TRUE(at::allclose(together.narrow(0, 0, 1), alone, 0, 1e-12));
  EXPECT_FALSE(at::allclose(together, trained, 0, 1e-3));
  EXPECT_TRUE(at::equal(model.EncodeImage(batch.images, TowerMode::kTrainAgain), trained));
  for (const auto& [name, buffer] : model.buffers()) {
    EXPECT_TRUE(at::equal(buffer, before.at(name))) << name;
  }
}

TEST(ModifiedResNet, RefusesToTakeAVarianceOfOneValue) {
  ModelConfig config = Small();
  config.vision.image_size = 32;  // one place a picture in the last stage
  const ClipModel model(config, 1, 0.07, at::kFloat);
  EXPECT_THROW(model.EncodeImage(at::ones({1, 3, 32, 32}), TowerMode::kTrain),
               std::invalid_argument);
  EXPECT_NO_THROW(model.EncodeImage(at::ones({1, 3, 32, 32})));
  EXPECT_NO_THROW(model.EncodeImage(at::ones({2, 3, 32, 32}), TowerMode::kTrain));
}

TEST(ModifiedResNet, HasNoPatchesToKeep) {
  const ClipModel model(Small(), 1, 0.07, at::kDouble);
  EXPECT_THROW(
      model.EncodeImage(SomeBatch(2).images, TowerMode::kTrain, at::zeros({2, 1}, at::kLong)),
      std::invalid_argument);
}

TEST(ModifiedResNet, LoadsBuffersAndMissesNoCounts) {
  const ClipModel source(Small(), 1, 0.07, at::kFloat);
  ClipModel target(Small(), 2, 0.07, at::kDouble);
  {
    const at::NoGradGuard no_grad;
    source.EncodeImage(SomeBatch(4).images.to(at::kFloat), TowerMode::kTrain);
  }
  NamedTensors tensors = source.parameters();
  for (const auto& [name, buffer] : source.buffers()) {
    if (name != "visual.bn1.num_batches_tracked") tensors.emplace_back(name, buffer);
  }
  target.Load(tensors, "x.safetensors");
  auto loaded = Copies(target.buffers());
  for (const auto& [name, buffer] : source.buffers()) {
    const at::Tensor expected =
        name == "visual.bn1.num_batches_tracked" ? at::zeros({}, at::kLong) : buffer;
    EXPECT_TRUE(at::equal(loaded.at(name).to(expected.dtype()), expected)) << name;
  }
  tensors.pop_back(), tensors.pop_back();
  EXPECT_THROW(target.Load(tensors, "x.safetensors"), std::runtime_error);
}

}  // namespace
}  // namespace fastclip
