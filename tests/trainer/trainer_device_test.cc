// Whole runs on a device that is not the CPU: tests/support/stand_in_device.h.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/open_calls.h"
#include "tests/support/stand_in_device.h"
#include "tests/support/stand_in_graph.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/training_fixture.h"
#include "trainer/config/config.h"
#include "trainer/run/stop_signal.h"
#include "trainer/run/trainer.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

class TrainerOnADevice : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    stand_in::Register();
  }
  /// A run in this process; one rank, or several as threads, of which a device's calls wait for
  /// polls. Returns what stopped it.
  int Train(const std::string& run, bool on_device, std::vector<std::string> words = {},
            int ranks = 1) {
    words.insert(words.begin(), {"run=" + (folder_ / run), "model.name=" + (folder_ / "model.toml"),
                                 "train.batch_size=32", "train.precision=fp64"});
    int code = -1;
    const auto train = [&](Communicator& comm) {
      const LoadedConfig config(folder_ / "run.toml", words, {.ranks = comm.world_size()});
      StopSignal stop;
      Trainer trainer(config, "test", comm,
                      on_device ? stand_in::Device(comm.rank()) : at::Device(at::kCPU));
      const int signal = trainer.Run(stop);
      if (comm.rank() == 0) code = signal;
    };
    if (ranks == 1) {
      train(*WorldOfOne());
    } else {
      RunRanks(ranks, [&](Communicator& comm) {
        OpenCalls open(comm);
        train(on_device ? static_cast<Communicator&>(open) : comm);
      });
    }
    return code;
  }
  std::int64_t StepsOf(const std::string& run) {
    return Metrics(run).back().at("step").get<std::int64_t>();
  }
  NamedTensors Saved(const std::string& run, const std::string& file) {
    return ReadSafetensors(folder_ /
                           (run + "/checkpoints/step_" + std::to_string(StepsOf(run)) + "/" + file))
        .tensors;
  }
  void ExpectNear(const std::string& one, const std::string& other, double tolerance) {
    ASSERT_EQ(Checkpoints(one), Checkpoints(other));
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state_0.safetensors"}) {
      const NamedTensors left = Saved(one, file), right = Saved(other, file);
      ASSERT_EQ(left.size(), right.size());
      for (std::size_t i = 0; i < left.size(); ++i) {
        EXPECT_TRUE(at::allclose(left[i].second, right[i].second, tolerance, tolerance))
            << file << " " << left[i].first;
      }
    }
    ExpectNearMetrics(one, other, tolerance);
  }
  void ExpectNearMetrics(const std::string& one, const std::string& other, double tolerance) {
    const auto left = Metrics(one), right = Metrics(other);
    ASSERT_EQ(left.size(), right.size());
    for (std::size_t i = 0; i < left.size(); ++i) {
      EXPECT_EQ(left[i].at("step"), right[i].at("step"));
      EXPECT_EQ(left[i].at("event"), right[i].at("event"));
      for (const char* value : {"loss", "tau", "lr", "lr_tau", "gamma", "epoch", "samples"}) {
        if (!left[i].contains(value) || left[i][value].is_null()) continue;
        EXPECT_NEAR(left[i][value].get<double>(), right[i][value].get<double>(), tolerance)
            << "line " << i << ", " << value;
      }
    }
  }
};

const std::vector<std::string> kWithEvaluation = {"data.val=synthetic:40", "eval.every_epochs=1",
                                                  "checkpoint.every_steps=5",
                                                  "temperature.schedule=step_thresh"};

std::vector<std::string> With(std::vector<std::string> words,
                              const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_F(TrainerOnADevice, IsTheCpusRun) {
  EXPECT_EQ(Train("cpu", false, kWithEvaluation), 0);
  EXPECT_EQ(Train("device", true, kWithEvaluation), 0);
  ExpectNear("cpu", "device", 1e-6);
}

TEST_F(TrainerOnADevice, IsTheCpusRunWithItsStateInHostMemory) {
  EXPECT_EQ(Train("cpu", false), 0);
  EXPECT_EQ(Train("device", true, {"train.state=host"}), 0);
  ExpectNear("cpu", "device", 1e-6);
}

TEST_F(TrainerOnADevice, WaitsOnceAStepAndOneStepLate) {
  for (const int ranks : {1, 2}) {
    const auto counted = [&](const char* run, const char* epochs) {
      stand_in::ResetCounts();
      EXPECT_EQ(
          Train(run + std::to_string(ranks), true, {epochs, "checkpoint.every_epochs=0"}, ranks),
          0);
      return stand_in::counts();
    };
    counted("first", "train.epochs=1");  // makes what the process keeps
    const stand_in::Counts one = counted("short", "train.epochs=1"),
                           three = counted("long", "train.epochs=3");
    const std::int64_t more =
        StepsOf("long" + std::to_string(ranks)) - StepsOf("short" + std::to_string(ranks));
    EXPECT_EQ(more, 12);
    EXPECT_EQ(three.event_waits - one.event_waits, ranks * more);
    EXPECT_EQ(three.host_reads, one.host_reads);
    EXPECT_EQ(three.blocking_copies, one.blocking_copies);
    EXPECT_GT(three.late_copies - one.late_copies, ranks * more);
    EXPECT_EQ(three.uploads_behind_ops, 0) << "what a step reads has a stream of its own";
    // Behind the last step of a run nothing is enqueued.
    EXPECT_EQ(one.idle_waits, ranks);
    EXPECT_EQ(three.idle_waits, ranks);
  }
}

TEST_F(TrainerOnADevice, OfSeveralRanksIsTheCpusRun) {
  EXPECT_EQ(Train("cpu", false, kWithEvaluation, 2), 0);
  EXPECT_EQ(Train("device", true, kWithEvaluation, 2), 0);
  ExpectNear("cpu", "device", 1e-6);
}

TEST_F(TrainerOnADevice, OfFourRanksIsTheCpusRun) {
  EXPECT_EQ(Train("cpu", false, With(kWithEvaluation, {"train.epochs=2"}), 4), 0);
  EXPECT_EQ(Train("device", true, With(kWithEvaluation, {"train.epochs=2"}), 4), 0);
  ExpectNear("cpu", "device", 1e-6);
}

TEST_F(TrainerOnADevice, InHalfPrecisionIsNearTheCpusRun) {
  const auto words = With(kWithEvaluation, {"train.precision=amp_bf16", "train.epochs=2"});
  EXPECT_EQ(Train("cpu", false, words), 0);
  EXPECT_EQ(Train("device", true, words), 0);
  EXPECT_EQ(Checkpoints("cpu"), Checkpoints("device"));
  ExpectNearMetrics("cpu", "device", 0.1);  // some 8 units in the last place of the loss
}

// Its collectives stay open until they are polled (OpenCalls), as where a rank is lost.
TEST_F(TrainerOnADevice, OfSeveralRanksWaitsForNoCallWithoutAPoll) {
  const std::vector<std::string> resnet = With(
      kWithEvaluation, {"train.epochs=1", "model.name=" + ResNetModel(), "model.sync_batch_norm="});
  for (const char* sync : {"false", "true"}) {
    std::vector<std::string> words = resnet;
    words.back() += sync;
    EXPECT_EQ(Train(std::string("resnet") + sync, true, words, 2), 0);
  }
  EXPECT_EQ(Train("host", true, {"train.epochs=1", "train.state=host"}, 2), 0);
}

TEST_F(TrainerOnADevice, ResumesToTheBit) {
  EXPECT_EQ(Train("whole", true, {"checkpoint.keep=9"}), 0);
  std::filesystem::copy(folder_ / "whole", folder_ / "parts",
                        std::filesystem::copy_options::recursive);
  ASSERT_EQ(Checkpoints("parts").size(), 4U);
  for (const char* later : {"step_18", "step_24"}) {
    std::filesystem::remove_all(folder_ / ("parts/checkpoints/" + std::string(later)));
  }
  EXPECT_EQ(Train("parts", true, {"checkpoint.keep=9", "resume=true"}), 0);
  ExpectNear("whole", "parts", 0);
}

const std::vector<std::string> kRecorded = {"model.trim_text=false", "train.cuda_graphs=true",
                                            "checkpoint.keep=9"};

TEST_F(TrainerOnADevice, WithRecordedStepsIsTheSameRun) {
  stand_in::RegisterGraphs();
  // Fused optimizers take a rate from the device in float32.
  EXPECT_EQ(
      Train("plain", true, With(kWithEvaluation, {"model.trim_text=false", "checkpoint.keep=9"})),
      0);
  EXPECT_EQ(Train("recorded", true, With(kWithEvaluation, kRecorded)), 0);
  ExpectNear("plain", "recorded", 1e-6);
  EXPECT_EQ(Train("v2", true,
                  With(kRecorded, {"objective.name=fastclip_v2", "objective.mode=reference",
                                   "temperature.schedule=const", "train.micro_batches=2"})),
            0);
  EXPECT_EQ(
      Train("v2-plain", true,
            {"model.trim_text=false", "checkpoint.keep=9", "objective.name=fastclip_v2",
             "objective.mode=reference", "temperature.schedule=const", "train.micro_batches=2"}),
      0);
  ExpectNear("v2-plain", "v2", 1e-6);
}

TEST_F(TrainerOnADevice, WithRecordedStepsWaitsOnceAStep) {
  stand_in::RegisterGraphs();
  const auto counted = [&](const std::string& run, const char* epochs) {
    stand_in::ResetCounts();
    EXPECT_EQ(Train(run, true, With(kRecorded, {epochs, "checkpoint.every_epochs=0"})), 0);
    return stand_in::counts();
  };
  const stand_in::Counts two = counted("two", "train.epochs=2"),
                         three = counted("three", "train.epochs=3");
  const std::int64_t more = StepsOf("three") - StepsOf("two");
  EXPECT_EQ(three.event_waits - two.event_waits, more);
  EXPECT_EQ(three.host_reads, two.host_reads);
  // The batch's conversion, and copies to where the record reads.
  EXPECT_LE(three.ops - two.ops, 16 * more);
}

TEST_F(TrainerOnADevice, WithRecordedStepsResumesToTheBit) {
  stand_in::RegisterGraphs();
  EXPECT_EQ(Train("whole", true, kRecorded), 0);
  std::filesystem::copy(folder_ / "whole", folder_ / "parts",
                        std::filesystem::copy_options::recursive);
  for (const char* later : {"step_18", "step_24"}) {
    std::filesystem::remove_all(folder_ / ("parts/checkpoints/" + std::string(later)));
  }
  EXPECT_EQ(Train("parts", true, With(kRecorded, {"resume=true"})), 0);
  ExpectNear("whole", "parts", 0);
}

TEST_F(TrainerOnADevice, RecordsNoStepThatCouldNotBeRepeated) {
  const auto refusal = [&](const std::vector<std::string>& words, int ranks = 1) {
    try {
      Train("refused", true, With(kRecorded, words), ranks);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("not refused");
  };
  const auto expect = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find("train.cuda_graphs"), text.npos) << text;
    EXPECT_NE(text.find(part), text.npos) << text;
    EXPECT_NE(text.find("= false"), text.npos) << text;
  };
  expect(refusal({"model.trim_text=true"}), "set model.trim_text = false");
  expect(refusal({"model.patch_dropout=0.5"}), "set model.patch_dropout = 0");
  expect(refusal({"train.state=host"}), "train.state = \"device\"");
  expect(refusal({"data.train=synthetic:300000000"}), "keeps one of 4.8 GB in host memory");
  expect(refusal({"train.device=cpu"}), "needs a GPU");
  expect(refusal({"train.init=" + (folder_ / "base"),
                  R"(adapt.tuners=["lora image.block.*.q r=2 dropout=0.1"])"}),
         "has dropout");
  expect(refusal({}, 2), "this run has 2");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "refused")) << "before any work";
}

}  // namespace
}  // namespace fastclip
