#include "trainer/model/lock.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "trainer/model/clip_model.h"
#include "trainer/step/towers.h"

namespace fastclip {
namespace {

ModelConfig Small() {
  ModelConfig config;
  config.embed_dim = 8;
  config.vision = {.image_size = 32, .patch_size = 16, .width = 16, .layers = 3, .head_width = 8};
  config.text = {.context_length = 8, .vocab_size = 40, .width = 16, .heads = 2, .layers = 2};
  return config;
}

ModelConfig SmallResNet() {
  ModelConfig config = Small();
  config.vision = {.image_size = 32, .width = 2, .head_width = 16, .resnet_layers = {1, 1, 1, 1}};
  return config;
}

MicroBatch SomeBatch() {
  return {at::linspace(-9, 9, 4 * 3 * 32 * 32, at::kDouble).sin().view({4, 3, 32, 32}),
          at::arange(32, at::kLong).view({4, 8}), at::full({4}, 5, at::kLong)};
}

// The towers' parts that learn: names up to the first dot behind "visual." or "resblocks.N".
std::set<std::string> Learning(const ModelConfig& config, const LockOptions& lock) {
  const ClipModel model(config, 1, 0.07, at::kFloat, lock);
  std::set<std::string> parts;
  std::size_t learning = 0;
  for (const auto& [name, parameter] : model.parameters()) {
    if (!parameter.requires_grad()) continue;
    EXPECT_EQ(model.trainable().at(learning++).first, name);
    const std::size_t block = name.find("resblocks.");
    const std::size_t from = block != std::string::npos    ? block + 10
                             : name.starts_with("visual.") ? 7
                                                           : 0;
    parts.insert(name.substr(0, name.find('.', from)));
  }
  EXPECT_EQ(learning, model.trainable().size());
  return parts;
}

TEST(Lock, LeavesTheSigmoidLosssBiasToLearn) {
  ModelConfig config = Small();
  config.init_logit_bias = -10;
  const ClipModel model(config, 1, 0.07, at::kFloat, {.text = true});
  EXPECT_TRUE(model.logit_bias().requires_grad());
  EXPECT_TRUE(model.logit_scale().requires_grad());
}

std::set<std::string> Joined(std::set<std::string> a, const std::set<std::string>& b) {
  a.insert(b.begin(), b.end());
  return a;
}

const std::set<std::string> kAllText = {
    "positional_embedding",    "text_projection", "logit_scale", "transformer.resblocks.0",
    "transformer.resblocks.1", "token_embedding", "ln_final"};

TEST(Lock, LeavesTheLastGroupsOfAViTUnlocked) {
  // As OpenCLIP's VisionTransformer.lock(n) of three layers.
  const std::set<std::string> groups[] = {
      {"visual.proj"},
      {"visual.transformer.resblocks.2", "visual.ln_post"},
      {"visual.transformer.resblocks.1"},
      {"visual.transformer.resblocks.0"},
      {"visual.conv1", "visual.class_embedding", "visual.positional_embedding", "visual.ln_pre"}};
  std::set<std::string> expected = kAllText;
  EXPECT_EQ(Learning(Small(), {.image = true}), expected);
  for (std::int64_t unlocked = 1; unlocked <= 5; ++unlocked) {
    expected = Joined(expected, groups[unlocked - 1]);
    EXPECT_EQ(Learning(Small(), {.image = true, .image_unlocked_groups = unlocked}), expected)
        << unlocked;
  }
  EXPECT_EQ(Learning(Small(), {}), expected);
}

TEST(Lock, LeavesTheLastGroupsOfTheTextTowerUnlocked) {
  // As OpenCLIP's lock_text_tower(model, n) of two layers.
  const std::set<std::string> groups[] = {{"text_projection"},
                                          {"transformer.resblocks.1", "ln_final"},
                                          {"transformer.resblocks.0"},
                                          {"token_embedding", "positional_embedding"}};
  std::set<std::string> expected;
  for (const std::string& part : Learning(Small(), {})) {
    if (part.starts_with("visual.") || part == "logit_scale") expected.insert(part);
  }
  EXPECT_EQ(Learning(Small(), {.text = true}), expected);
  for (std::int64_t unlocked = 1; unlocked <= 4; ++unlocked) {
    expected = Joined(expected, groups[unlocked - 1]);
    EXPECT_EQ(Learning(Small(), {.text = true, .text_unlocked_layers = unlocked}), expected)
        << unlocked;
  }
}

TEST(Lock, LocksAResNetAsAWhole) { EXPECT_EQ(Learning(SmallResNet(), {.image = true}), kAllText); }

TEST(Lock, NamesTheOptionAtFault) {
  const auto fault = [](const LockOptions& lock, const ModelConfig& model = Small()) {
    const auto found = FaultOf(model, lock);
    return found ? found->option + ": " + found->reason : "no fault";
  };
  EXPECT_EQ(fault({}), "no fault");
  EXPECT_EQ(fault({.image = true, .image_unlocked_groups = 5}), "no fault");
  EXPECT_EQ(fault({.image = true, .image_unlocked_groups = 6}),
            "lock_image_unlocked_groups: 6 groups, but the image tower with 3 layers has 5: "
            "embeddings, blocks, projection");
  EXPECT_EQ(fault({.image = true, .image_unlocked_groups = -1}).substr(0, 40),
            "lock_image_unlocked_groups: -1 groups, b");
  EXPECT_EQ(fault({.image_unlocked_groups = 1}),
            "lock_image_unlocked_groups: the image tower is not locked; set lock_image = true, "
            "or remove this key");
  EXPECT_EQ(fault({.image = true, .image_unlocked_groups = 1}, SmallResNet()),
            "lock_image_unlocked_groups: a ResNet is locked as a whole; set it to 0");
  EXPECT_EQ(fault({.image_freeze_bn_stats = true}, SmallResNet()).substr(0, 28),
            "lock_image_freeze_bn_stats: ");
  EXPECT_EQ(fault({.text = true, .text_unlocked_layers = 5}).substr(0, 35),
            "lock_text_unlocked_layers: 5 groups");
  EXPECT_EQ(fault({.text = true, .text_freeze_layer_norm = false}).substr(0, 29),
            "lock_text_freeze_layer_norm: ");
  EXPECT_EQ(fault({.image = true, .text = true}).substr(0, 11), "lock_text: ");
  EXPECT_EQ(fault({.image = true, .text = true, .text_unlocked_layers = 1}), "no fault");
  EXPECT_THROW(ClipModel(Small(), 1, 0.07, at::kFloat, {.image = true, .text = true}),
               std::invalid_argument);
}

TEST(Lock, GivesTheSameGradientsToWhatLearnsAndNoneToTheRest) {
  const MicroBatch batch = SomeBatch();
  const ClipModel free(Small(), 1, 0.07, at::kDouble);
  const at::Tensor gradient = at::linspace(-1, 1, 4 * 8, at::kDouble).view({4, 8});
  const auto backward = [&](const ClipModel& model, std::span<const MicroBatch> micro) {
    Towers towers(model);
    towers.Forward(micro);
    towers.Backward(micro, {gradient, gradient});
  };
  backward(free, {&batch, 1});
  for (const LockOptions& lock :
       {LockOptions{.image = true}, LockOptions{.image = true, .image_unlocked_groups = 2},
        LockOptions{.text = true}, LockOptions{.text = true, .text_unlocked_layers = 3}}) {
    for (const bool two_passes : {false, true}) {
      const ClipModel locked(Small(), 1, 0.07, at::kDouble, lock);
      const MicroBatch parts[] = {
          {batch.images.narrow(0, 0, 1), batch.tokens.narrow(0, 0, 1), batch.pool.narrow(0, 0, 1)},
          {batch.images.narrow(0, 1, 3), batch.tokens.narrow(0, 1, 3), batch.pool.narrow(0, 1, 3)}};
      backward(locked, two_passes ? std::span(parts) : std::span(&batch, 1));
      for (std::size_t i = 0; i < locked.parameters().size(); ++i) {
        const auto& [name, parameter] = locked.parameters()[i];
        if (!parameter.requires_grad() || name == "logit_scale") {
          EXPECT_FALSE(parameter.grad().defined()) << name;
          continue;
        }
        EXPECT_TRUE(
            at::allclose(parameter.grad(), free.parameters()[i].second.grad(), 1e-10, 1e-14))
            << name;
      }
    }
  }
}

TEST(Lock, KeepsRunningStatisticsOnlyWhereAskedTo) {
  const MicroBatch batch = SomeBatch();
  for (const bool freeze : {false, true}) {
    const ClipModel model(SmallResNet(), 1, 0.07, at::kDouble,
                          {.image = true, .image_freeze_bn_stats = freeze});
    const at::Tensor evaluated = model.EncodeImage(batch.images);
    const at::Tensor trained = model.EncodeImage(batch.images, TowerMode::kTrain);
    EXPECT_FALSE(trained.requires_grad());
    EXPECT_EQ(at::equal(trained, evaluated), freeze);
    for (const auto& [name, buffer] : model.buffers()) {
      if (!name.ends_with("num_batches_tracked")) continue;
      EXPECT_EQ(buffer.item<std::int64_t>(), freeze ? 0 : 1) << name;
    }
  }
}

}  // namespace
}  // namespace fastclip
