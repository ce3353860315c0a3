// Whole runs on a device that is not the CPU: tests/support/stand_in_device.h.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/stand_in_device.h"
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
  /// A run in this process; one rank, or several as threads. Returns what stopped it.
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
      RunRanks(ranks, train);
    }
    return code;
  }
  NamedTensors Saved(const std::string& run, const std::string& file) {
    return ReadSafetensors(folder_ / (run + "/checkpoints/step_24/" + file)).tensors;
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
  stand_in::ResetCounts();
  EXPECT_EQ(Train("short", true, {"train.epochs=1", "checkpoint.every_epochs=0"}), 0);
  const stand_in::Counts one = stand_in::counts();
  stand_in::ResetCounts();
  EXPECT_EQ(Train("long", true, {"train.epochs=3", "checkpoint.every_epochs=0"}), 0);
  const stand_in::Counts three = stand_in::counts();
  const auto steps = [&](const std::string& run) {
    return Metrics(run).back().at("step").get<std::int64_t>();
  };
  const std::int64_t more = steps("long") - steps("short");
  EXPECT_EQ(three.event_waits - one.event_waits, more);
  EXPECT_EQ(three.host_reads, one.host_reads);
}

TEST_F(TrainerOnADevice, OfSeveralRanksIsTheCpusRun) {
  EXPECT_EQ(Train("cpu", false, kWithEvaluation, 2), 0);
  EXPECT_EQ(Train("device", true, kWithEvaluation, 2), 0);
  ExpectNear("cpu", "device", 1e-6);
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

}  // namespace
}  // namespace fastclip
