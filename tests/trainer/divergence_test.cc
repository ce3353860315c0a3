#include <ATen/ATen.h>

#include "tests/trainer/training_fixture.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

/// Runs of three steps from weights that make them diverge.
class Divergence : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("first", {"train.epochs=1", "train.batch_size=64"})), 0) << errors_;
  }
  /// The first run's weights with all values of one tensor, or of one of its rows, replaced.
  std::string With(const std::string& name, std::int64_t row, double value) {
    NamedTensors tensors =
        ReadSafetensors(folder_ / "first/checkpoints/step_3/model.safetensors").tensors;
    for (auto& [own, tensor] : tensors) {
      if (own == name) (row < 0 ? tensor : tensor[row]).fill_(value);
    }
    WriteSafetensors(folder_ / "start.safetensors", tensors);
    return "model.pretrained=" + (folder_ / "start.safetensors");
  }
  bool Said(const std::string& text) const { return errors_.find(text) != std::string::npos; }
};

TEST_F(Divergence, AtTheEndOfARunIsAFailure) {
  const std::vector<std::string> words = {"train.epochs=1", "train.batch_size=64",
                                          With("visual.conv1.weight", -1, 3e38)};
  EXPECT_EQ(Run(Train("run", words)), 1);
  EXPECT_TRUE(Said("ended: 3 steps")) << errors_;
  EXPECT_TRUE(Said("3 steps not applied, as their loss or gradient was not finite")) << errors_;
  EXPECT_TRUE(Said("the run diverged: loss or gradient was not finite in the last 3 steps; "))
      << errors_;
  EXPECT_EQ(Metrics("run").back()["refused_steps"], 3);
  // It stays one when the finished run is asked for again.
  std::vector<std::string> again = words;
  again.emplace_back("resume=true");
  EXPECT_EQ(Run(Train("run", again)), 1);
}

TEST_F(Divergence, OfTheWeightsLeavesTheGoodCheckpoints) {
  // No caption has this token, so that the loss stays finite while decay makes its row infinite.
  const std::string weights = With("token_embedding.weight", 40000, 3e38);
  const std::vector<std::string> words = {weights,
                                          "train.epochs=1",
                                          "train.batch_size=64",
                                          "checkpoint.every_steps=1",
                                          "learning_rate.lr=1",
                                          "learning_rate.warmup=0",
                                          "optimizer.weight_decay=10"};
  EXPECT_EQ(Run(Train("run", words)), 1);
  EXPECT_TRUE(
      Said("the weights are not finite after step 1 (token_embedding.weight is the first): "
           "nothing was saved"))
      << errors_;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/checkpoints/step_1"));
}

}  // namespace
}  // namespace fastclip
