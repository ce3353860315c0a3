// Keys of a config, through what a run is made of.

#include "trainer/step/learner.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"
#include "tests/support/thread_communicator.h"
#include "trainer/run/run_lock.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/zero_shot_set.h"

namespace fastclip {
namespace {

class LearnerTest : public testing::Test {
 protected:
  LearnerTest() {
    std::ofstream(folder_ / "run.toml")
        << "run = \"" << folder_ / "run"
        << "\"\n"
        << "[train]\nbatch_size = 8\n[data]\ntrain = "
           "\"synthetic:64\"\n[model]\nname = \"tiny\"\n"
           "[objective]\nname = \"fastclip_v1\"\nmode = \"exact\"\n";
    std::ofstream(folder_ / "resnet.toml")
        << "embed_dim = 8\n[vision]\nimage_size = 32\nlayers = [1, 1, 1, 1]\nwidth = 2\n"
           "head_width = 16\n[text]\ncontext_length = 4\nvocab_size = 64\nwidth = 8\nheads = 2\n"
           "layers = 1\n";
  }
  std::string Config() const { return folder_ / "run.toml"; }

  /// The first words of the names of what learns, with those words changed.
  std::set<std::string> Learning(const std::vector<std::string>& words) const {
    const LoadedConfig config(Config(), words);
    const ClipModel model = MakeModel(*config, ModelOf(config), at::kMeta);
    std::set<std::string> names;
    for (const auto& [name, tensor] : model.trainable()) {
      const bool is_block = name.starts_with("transformer.resblocks.");
      names.insert(is_block ? name.substr(0, 23) : name.substr(0, name.find('.')));
    }
    return names;
  }

  const TemporaryFolder folder_;
};

TEST_F(LearnerTest, TextLocksLeaveTheLastGroups) {
  EXPECT_TRUE(Learning({}).contains("token_embedding"));
  EXPECT_EQ(Learning({"model.lock_text=true"}), (std::set<std::string>{"logit_scale", "visual"}))
      << "tau is constant in v1, but a parameter all the same";
  EXPECT_EQ(Learning({"model.lock_text=true", "model.lock_text_unlocked_layers=1"}),
            (std::set<std::string>{"logit_scale", "text_projection", "visual"}));
}

TEST_F(LearnerTest, LocksThatCannotBeNameTheirKey) {
  const auto error = [&](const std::vector<std::string>& words) {
    return ErrorOf([&] { Learning(words); });
  };
  EXPECT_NE(error({"model.lock_text=true", "model.lock_text_freeze_layer_norm=false"})
                .find("model.lock_text_freeze_layer_norm"),
            std::string::npos);
  EXPECT_NE(
      error({"model.lock_image_freeze_bn_stats=true"}).find("model.lock_image_freeze_bn_stats"),
      std::string::npos);
}

/// The running mean of the first norm after a step of two ranks with unlike pictures, of each rank.
std::vector<at::Tensor> RunningMeans(const LoadedConfig& config) {
  const ModelConfig model = ModelOf(config);
  const OrderPlan plan({.size = 64, .batch_size = 8, .lanes = 2});
  std::vector<at::Tensor> means(2);
  RunRanks(2, [&](Communicator& comm) {
    const std::vector<std::int64_t> lanes = plan.EvenLanes(2);
    const LaneRange mine = plan.LanesOf(comm.rank(), lanes);
    Learner learner(*config, model, plan, mine, {4, 4}, comm);
    std::vector<std::int64_t> indices;
    for (std::int64_t row = 0; row < 4; ++row) {
      indices.push_back(ToInt(plan.Row(0, mine.first * plan.rows_per_lane() + row)->index));
    }
    const at::Tensor images =
        at::linspace(-1, 1 + comm.rank(), 4 * 3 * 32 * 32).sin().view({4, 3, 32, 32});
    const std::vector<MicroBatch> micro = {
        {images, at::arange(16, at::kLong).view({4, 4}), at::full({4}, 2, at::kLong)}};
    learner.step.Run({.micro = micro, .indices = indices, .rates = {1e-3, 1e-3}});
    for (const auto& [name, buffer] : learner.model.buffers()) {
      if (name == "visual.bn1.running_mean") means[comm.rank()] = buffer.clone();
    }
  });
  return means;
}

TEST_F(LearnerTest, SyncBatchNormMakesTheRunningStatisticsThoseOfAllRanks) {
  const std::string name = "model.name=" + (folder_ / "resnet.toml");
  const auto shared = RunningMeans(LoadedConfig(Config(), {name}));
  EXPECT_TRUE(shared[0].allclose(shared[1], 1e-5, 1e-7));
  const auto own = RunningMeans(LoadedConfig(Config(), {name, "model.sync_batch_norm=false"}));
  EXPECT_FALSE(own[0].allclose(own[1], 1e-3, 1e-5));
  EXPECT_TRUE(at::allclose((own[0] + own[1]) / 2, shared[0], 1e-4, 1e-6));
}

TEST_F(LearnerTest, CaptionWeightsGoWithTheCaptionsThatTheyStandFor) {
  const LoadedConfig config(
      Config(), {"data.captions=[\"txt\", \"json.alt\"]", "data.caption_weights=[3, 0.5]"});
  const std::vector<CaptionKey> keys = TrainSourceOf(*config).captions;
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].weight, 3);
  EXPECT_EQ(keys[1].weight, 0.5f);
}

TEST_F(LearnerTest, ZeroShotReadsLabelsWhereItsKeySays) {
  Members members = PlainMembers(6);
  for (auto& [name, bytes] : members) {
    if (name.ends_with(".json")) bytes = R"({"species": 1, "label": 0})";
  }
  WriteShard(folder_ / "0.tar", members);
  std::ofstream(folder_ / "classes.txt") << "a cat\na dog\n";
  std::ofstream(folder_ / "templates.txt") << "a photo of {}\n";
  const LoadedConfig config(Config(), {"eval.zeroshot=" + (folder_ / "0.tar"),
                                       "eval.zeroshot_classes=" + (folder_ / "classes.txt"),
                                       "eval.zeroshot_templates=" + (folder_ / "templates.txt"),
                                       "eval.zeroshot_label_key=json.species"});
  const ZeroShotSet set = ZeroShotSet::Open(config, OtherSourceOf(*config));
  EXPECT_EQ(set.source->Read(SampleIndex{2}, 1, {}).records[0].label, 1);
}

TEST_F(LearnerTest, AStartThatFailsLeavesNoEmptyRunFolder) {
  const std::string run = folder_ / "new";
  { const RunLock lock(run); }
  EXPECT_FALSE(std::filesystem::exists(run));
  {
    const RunLock lock(run);
    std::ofstream(run + "/config.toml") << "written";
  }
  EXPECT_TRUE(std::filesystem::exists(run + "/config.toml"));
  const std::string users = folder_ / "users";
  std::filesystem::create_directory(users);
  { const RunLock lock(users); }
  EXPECT_TRUE(std::filesystem::exists(users)) << "the user made it";
}

TEST_F(LearnerTest, ARunFolderHasOneProcessAndLosesWhatAKilledOneLeft) {
  const std::string run = folder_ / "locked";
  std::filesystem::create_directory(run);
  {
    const RunLock lock(run);
    EXPECT_NE(ErrorOf([&] { RunLock again(run); }).find("another process trains in this folder"),
              std::string::npos);
  }
  std::ofstream(run + "/config.toml.host.1.0.tmp") << "of another machine";
  std::ofstream(run + "/notes.txt") << "the user's";
  const RunLock lock(run);
  EXPECT_TRUE(std::filesystem::exists(run + "/notes.txt"));
  EXPECT_TRUE(std::filesystem::exists(run + "/config.toml.host.1.0.tmp"));
}

}  // namespace
}  // namespace fastclip
