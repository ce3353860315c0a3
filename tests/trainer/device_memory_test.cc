// A run on a device whose memory does not suffice: tests/support/stand_in_device.h.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "tests/support/stand_in_device.h"
#include "tests/trainer/training_fixture.h"
#include "trainer/config/config.h"
#include "trainer/run/rank_memory.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/stop_signal.h"
#include "trainer/run/trainer.h"
#include "trainer/state/safetensors.h"
#include "trainer/step/learner.h"

namespace fastclip {
namespace {

class MemoryOfARun : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    stand_in::Register();
  }
  void TearDown() override { stand_in::RefuseMemory(-1); }

  /// What ended the run; empty: it came to its end.
  std::string Train(const std::string& run, std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"train.epochs=2", "data.train=synthetic:80", "train.device=cpu",
                                 "learning_rate.warmup=0", "train.log_every=10"});
    words.push_back("run=" + (folder_ / run));
    words.push_back("model.name=" + (folder_ / "model.toml"));
    StopSignal stop;
    const auto comm = WorldOfOne();
    try {
      const LoadedConfig config(folder_ / "run.toml", words);
      Trainer(config, "a test", *comm, stand_in::Device()).Run(stop);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
  at::Tensor Weights(const std::string& run) const {
    std::vector<at::Tensor> all;
    for (const auto& [name, tensor] :
         ReadSafetensors(folder_ / (run + "/checkpoints/step_10/model.safetensors")).tensors) {
      all.push_back(tensor.flatten().to(at::kDouble));
    }
    return at::cat(all);
  }
};

TEST_F(MemoryOfARun, ThatRunsOutInMidRunIsSavedAndResumesAsIfItHadNot) {
  stand_in::ResetCounts();
  ASSERT_EQ(Train("whole"), "");
  const std::int64_t ops = stand_in::counts().ops;

  stand_in::RefuseMemory(ops * 6 / 10);
  const std::string error = Train("short", {"checkpoint.every_epochs=0"});
  stand_in::RefuseMemory(-1);
  EXPECT_NE(error.find("out of memory in step "), std::string::npos) << error;
  for (const char* part : {"this batch needs about", "train.batch_size", "train.micro_batches",
                           "train.grad_checkpointing", "is saved: continue with fastclip train "}) {
    EXPECT_NE(error.find(part), std::string::npos) << part << " in: " << error;
  }
  const std::vector<std::string> saved = Checkpoints("short");
  ASSERT_EQ(saved.size(), 1U);
  EXPECT_NE(saved[0], "step_10");

  ASSERT_EQ(Train("short", {"resume=true"}), "");
  EXPECT_TRUE(at::equal(Weights("short"), Weights("whole")));
}

TEST_F(MemoryOfARun, ThatRunsOutInAnEvaluationIsSavedAndNamesTheKey) {
  const std::vector<std::string> plain = {"train.epochs=1"};
  const std::vector<std::string> evaluating = {"train.epochs=1", "data.val=synthetic:40",
                                               "eval.batch_size=4"};
  const auto ops = [&](const std::string& run, const std::vector<std::string>& words) {
    stand_in::ResetCounts();
    EXPECT_EQ(Train(run, words), "");
    return stand_in::counts().ops;
  };
  const std::int64_t without = ops("plain", plain), with = ops("whole", evaluating);
  stand_in::RefuseMemory(without + (with - without) / 2);  // the evaluation is behind all steps
  const std::string error = Train("short", evaluating);
  for (const char* part : {"out of memory in an evaluation: stand_in out of memory",
                           "lower eval.batch_size, which is 4", "; step 5 is saved: continue with ",
                           " eval.batch_size=2"}) {
    EXPECT_NE(error.find(part), std::string::npos) << part << " in: " << error;
  }
  EXPECT_EQ(Metrics("short").back().at("event"), "train");
  ASSERT_EQ(Train("short",
                  {"train.epochs=1", "data.val=synthetic:40", "eval.batch_size=2", "resume=true"}),
            "");
  EXPECT_EQ(Metrics("short").back().at("event"), "retrieval");
}

TEST_F(MemoryOfARun, CountsWhatARecordKeepsAndTheEvaluationBesideIt) {
  const auto planned = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"run=" + (folder_ / "run"), "eval.batch_size=64",
                  "model.name=" + (folder_ / "model.toml"), "model.trim_text=false"});
    const LoadedConfig config(folder_ / "run.toml", words);
    const ModelConfig shape = ModelOf(config);
    const ClipModel model = MakeModel(*config, shape, at::kMeta);
    return MemoryOf(*config, shape, model, *MakeOptimizer(model.described(), config->optimizer),
                    /*state=*/0, /*ranks=*/1, /*on_gpu=*/true);
  };
  constexpr std::int64_t kRows = 48;
  // 32 × 32 pixels; 16 ids and the place that is read.
  constexpr double kPixels = 3 * 32 * 32, kCaption = 8 * 17;
  const std::string graphs = "train.cuda_graphs=true", val = "data.val=synthetic:40";
  const RankMemory plain = planned({}), recorded = planned({graphs});
  EXPECT_EQ(plain.evaluation, 0);
  EXPECT_FALSE(plain.recorded());
  EXPECT_EQ(recorded.Total(kRows) - plain.Total(kRows), kRows * (4 * kPixels + kCaption));

  RankMemory without_uploads = plain;
  without_uploads.upload = 0;
  EXPECT_EQ(plain.Total(kRows) - without_uploads.Total(kRows), kRows * 2 * (kPixels + kCaption));

  const RankMemory evaluated = planned({val}), both = planned({graphs, val});
  const double evaluation = evaluated.evaluation;
  EXPECT_GE(evaluation, 64 * 4 * kPixels);
  EXPECT_EQ(evaluated.Passes(kRows), std::max(plain.Held(kRows), evaluation));
  EXPECT_EQ(both.Total(kRows) - recorded.Total(kRows), evaluation);
  EXPECT_EQ(planned({val, "eval.every_epochs=0"}).evaluation, 0);

  const auto names = [](const RankMemory& memory, const char* key) {
    return AdviseOnMemory(memory, kRows, 0).find(key) != std::string::npos;
  };
  EXPECT_TRUE(names(both, "train.cuda_graphs = false") && names(both, "eval.batch_size"));
  EXPECT_FALSE(names(plain, "train.cuda_graphs") || names(plain, "eval.batch_size"));
  EXPECT_FALSE(names(recorded, "eval.batch_size"));
}

RankMemory SomeMemory() {
  return {.weights = 6e8,
          .gradients = 6e8,
          .moments = 12e8,
          .row = 3e7,
          .image = 6e5,
          .features = 4096,
          .on_gpu = true};
}

TEST(RankMemory, GivesTheLargestBatchThatFits) {
  RankMemory memory = SomeMemory();
  const std::int64_t rows = memory.RowsThatFit(80e9);
  EXPECT_LE(memory.Total(rows), 0.95 * 80e9);
  EXPECT_GT(memory.Total(rows + 1), 0.95 * 80e9);
  EXPECT_GT(rows, 2000);
  memory.micro_batches = 4;
  const std::int64_t in_parts = memory.RowsThatFit(80e9);
  EXPECT_EQ(in_parts % 4, 0);
  EXPECT_GT(in_parts, 3 * rows);
  memory.micro_batches = 1;
  memory.ranks = 8;
  EXPECT_LT(memory.RowsThatFit(80e9), rows) << "NCCL's buffers, and the features of all ranks";
  EXPECT_EQ(memory.RowsThatFit(1e9), 0);
}

TEST(RankMemory, IsToldWithWhatToDo) {
  RankMemory memory = SomeMemory();
  memory.ranks = 2;
  const std::int64_t rows = memory.RowsThatFit(80e9);
  EXPECT_EQ(DescribeFit(memory, 80e9), "largest batch that fits in 80.0 GB: about " +
                                           std::to_string(2 * rows) + " (" + std::to_string(rows) +
                                           " rows per GPU)");
  EXPECT_EQ(DescribeFit(memory, 1e9), "no batch fits in 1.0 GB");
  const std::string advice = AdviseOnMemory(memory, 2 * rows, 80e9);
  EXPECT_NE(advice.find(DescribeFit(memory, 80e9)), std::string::npos) << advice;
  EXPECT_NE(advice.find("train.micro_batches"), std::string::npos) << advice;
  EXPECT_EQ(AdviseOnMemory(memory, rows, 0).find("largest"), std::string::npos)
      << "of a device of unknown size";
}

}  // namespace
}  // namespace fastclip
