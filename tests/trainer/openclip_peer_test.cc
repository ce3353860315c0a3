#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "pipeline/base/counter_random.h"
#include "tests/support/paths.h"
#include "tests/support/peers.h"
#include "trainer/model/clip_model.h"
#include "trainer/model/presets.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/batch_tensors.h"

// OpenCLIP loads our weights and we load its; features agree. FASTCLIP_CHECKPOINT names a run, a
// checkpoint or nothing (fresh weights of the preset `tiny`).

namespace fastclip {
namespace {

constexpr int kRows = 8;

struct Probe {
  at::Tensor images;
  CaptionTensors text;
};

// Pictures and captions that look like data: random bytes; start, words, end, zeros.
Probe MakeProbe(const ModelConfig& config) {
  CounterRandom random(1);
  const std::int64_t size = config.vision.image_size, context = config.text.context_length;
  std::vector<std::uint8_t> pixels(kRows * size * size * 3);
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.Next());
  std::vector<TokenId> tokens(kRows * context);
  std::vector<std::int64_t> pool;
  const auto end = static_cast<TokenId>(config.text.vocab_size - 1);
  for (int row = 0; row < kRows; ++row) {
    const std::int64_t words = 1 + static_cast<std::int64_t>(random.Below(context - 2));
    TokenId* caption = tokens.data() + row * context;
    caption[0] = end - 1;
    for (std::int64_t i = 1; i <= words; ++i)
      caption[i] = 1 + static_cast<TokenId>(random.Below(end - 2));
    caption[words + 1] = end;  // the highest id, where OpenCLIP reads
    pool.push_back(words + 1);
  }
  const TensorTarget target{.trim_text = false};  // OpenCLIP computes the whole context
  return {ImageTensor(pixels, kRows, size, target), CaptionsOf(tokens, pool, context, target)};
}

void ExpectAgree(const ClipModel& model, const Probe& probe,
                 const std::map<std::string, at::Tensor>& theirs) {
  const at::NoGradGuard no_grad;
  const at::Tensor image = model.EncodeImage(probe.images);
  const at::Tensor text = model.EncodeText(probe.text.tokens, probe.text.pool);
  EXPECT_LE((image - theirs.at("image_features")).abs().max().item<double>(), 1e-5);
  EXPECT_LE((text - theirs.at("text_features")).abs().max().item<double>(), 1e-5);
}

// `weights` holds what `model` does.
void ExpectPeerAgrees(const std::string& python, const TemporaryFolder& folder, ClipModel& model,
                      const std::string& weights) {
  const ModelConfig& config = model.config();
  const Probe probe = MakeProbe(config);
  {
    const at::NoGradGuard no_grad;
    WriteSafetensors(folder / "probe.safetensors",
                     {{"images", probe.images},
                      {"tokens", probe.text.tokens},
                      {"image_features", model.EncodeImage(probe.images)},
                      {"text_features", model.EncodeText(probe.text.tokens, probe.text.pool)}},
                     {{"model", OpenClipJson(config)}});
  }
  const std::string command = python + " tools/peers/check_checkpoint.py '" + weights + "' '" +
                              folder / "probe.safetensors" + "' '" + folder / "theirs.safetensors" +
                              "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;

  std::map<std::string, at::Tensor> theirs;
  NamedTensors their_weights;
  for (const auto& [key, tensor] : ReadSafetensors(folder / "theirs.safetensors").tensors) {
    theirs.emplace(key, tensor);
    if (key.starts_with("weight/")) their_weights.emplace_back(key.substr(7), tensor);
  }
  model.Load(their_weights, "OpenCLIP's weights");
  ExpectAgree(model, probe, theirs);
}

TEST(OpenClipPeer, LoadsOurWeightsAndWeLoadIts) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no peers' environment: tools/peers.sh makes it";
  const TemporaryFolder folder;
  const char* asked = std::getenv("FASTCLIP_CHECKPOINT");
  std::string weights = folder / "model.safetensors", name = "tiny";
  if (asked != nullptr && *asked != '\0') {
    weights = ResolveModel(asked).file;
    name = CheckCheckpoint(std::filesystem::path(weights).parent_path()).model;
  }
  ClipModel model(LoadModelConfig(name), 3, 0.07, at::kFloat);
  if (asked != nullptr && *asked != '\0') {
    model.Load(ReadSafetensors(weights).tensors, weights);
  } else {
    WriteSafetensors(weights, model.parameters());
  }
  ExpectPeerAgrees(python, folder, model, weights);
}

TEST(OpenClipPeer, LoadsAResNetOfOursWithItsRunningStatistics) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no peers' environment: tools/peers.sh makes it";
  const TemporaryFolder folder;
  ModelConfig config = LoadModelConfig("tiny");
  config.name = "thin ResNet";
  config.vision = {.image_size = 64, .width = 8, .head_width = 32, .resnet_layers = {1, 2, 1, 1}};
  ClipModel model(config, 3, 0.07, at::kFloat);
  {
    const at::NoGradGuard no_grad;
    model.EncodeImage(MakeProbe(config).images, TowerMode::kTrain);
  }
  NamedTensors tensors = model.parameters();
  tensors.insert(tensors.end(), model.buffers().begin(), model.buffers().end());
  WriteSafetensors(folder / "model.safetensors", tensors);
  ExpectPeerAgrees(python, folder, model, folder / "model.safetensors");
}

}  // namespace
}  // namespace fastclip
