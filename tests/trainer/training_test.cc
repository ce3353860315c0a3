#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "tests/trainer/training_fixture.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

TEST_F(Training, SaysWhatItsDataDoesAndWhatHoldsItBack) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1", "pipeline.io_threads=2"})), 0) << errors_;
  std::ifstream file(folder_ / "run/metrics.jsonl");
  int lines = 0;
  for (std::string text; std::getline(file, text); ++lines) {
    const auto line = nlohmann::json::parse(text);
    ASSERT_EQ(line["event"], "train");
    const auto& data = line["data"];
    for (const char* stage : {"read", "decode", "resize", "tokenize"}) {
      for (const char* what : {"_per_second", "_mb_per_second", "_busy"}) {
        EXPECT_GE(data.at(std::string(stage) + what), 0) << text;
      }
    }
    for (const char* share : {"readers_blocked", "workers_idle", "readiness", "uploading"}) {
      EXPECT_GE(data.at(share), 0) << text;
      EXPECT_LE(data.at(share), 1) << text;
    }
    EXPECT_GE(data.at("queued_records"), 0);
    const std::set<std::string> limits = {"disk",     "decode", "resize",
                                          "tokenize", "upload", "training"};
    EXPECT_TRUE(limits.contains(line["limit"])) << text;
  }
  EXPECT_EQ(lines, 12);
}

TEST_F(Training, WritesARunFolderAndLowersTheLoss) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=8"})), 0) << errors_;
  const auto lines = Metrics("run");
  ASSERT_EQ(lines.size(), 96u);
  EXPECT_LT(lines.back()["loss"].get<double>(), lines.front()["loss"].get<double>());
  EXPECT_EQ(lines.back()["samples"], 96 * 16);
  for (const char* file : {"config.toml", "starts.jsonl", "tensorboard"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / (std::string("run/") + file))) << file;
  }
  EXPECT_EQ(Checkpoints("run"), (std::vector<std::string>{"step_72", "step_84", "step_96"}));
  // For open_clip.create_model("local-dir:…/step_96").
  const auto config =
      nlohmann::json::parse(ReadText(folder_ / "run/checkpoints/step_96/open_clip_config.json"));
  EXPECT_EQ(config["model_cfg"]["embed_dim"], 16);
  EXPECT_EQ(config["preprocess_cfg"]["mean"].size(), 3u);
}

TEST_F(Training, WritesOpenClipsTagsForTensorBoard) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1", "data.val=synthetic:40", "eval.every_epochs=1"})),
            0)
      << errors_;
  std::string events;  // tags stand in it as they are
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "run/tensorboard")) {
    events += ReadText(entry.path());
  }
  for (const char* tag :
       {"train/loss", "train/contrastive_loss", "train/scale", "train/lr", "train/data_time",
        "train/batch_time", "train/samples_per_second", "val/clip_val_loss",
        "val/image_to_text_R@1", "val/image_to_text_R@5", "val/image_to_text_R@10",
        "val/image_to_text_mean_rank", "val/image_to_text_median_rank", "val/text_to_image_R@1"}) {
    EXPECT_NE(events.find(tag), std::string::npos) << tag;
  }
}

TEST_F(Training, KeepsWhatItPrintedInConsoleLog) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  EXPECT_EQ(Run(Train("run", {"train.epochs=1", "resume=true"})), 0) << errors_;
  const std::string log = ReadText(folder_ / "run/console.log");
  const auto times = [&](const std::string& text) {
    int count = 0;
    for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size())
      ++count;
    return count;
  };
  EXPECT_EQ(times("  model "), 2) << log;
  EXPECT_EQ(times("  loss: CLIP's contrastive loss on the batch (chance 2.77)"), 2) << log;
  EXPECT_EQ(times("  done: 12 steps"), 2) << log;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {  // "2026-11-30 05:15:35  …"
    ASSERT_GT(line.size(), 21u);
    EXPECT_EQ(line[4], '-');
    EXPECT_EQ(line[13], ':');
    EXPECT_EQ(line.substr(19, 2), "  ");
  }
}

TEST_F(Training, ResumesToTheBitAfterATermSignal) {
  ASSERT_EQ(Run(Train("whole")), 0) << errors_;
  {
    Program program(folder_.path(), Train("cut"));
    while (program.running() && Metrics("cut").size() < 7) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    program.Signal(SIGTERM);
    ASSERT_EQ(program.Wait(), 128 + SIGTERM) << program.errors();
    EXPECT_NE(program.errors().find("resume=true"), std::string::npos) << program.errors();
  }
  ASSERT_EQ(Run(Train("cut", {"resume=true"})), 0) << errors_;
  ExpectSameEnd("whole", "cut");
}

TEST_F(Training, MemoryThatHoldsNoBatchesIsRefusedBeforeTheStart) {
  EXPECT_EQ(Run(Train("run", {"pipeline.memory=1000000"})), 2);
  EXPECT_NE(errors_.find("pipeline.memory = 1000000 bytes is too small for 2 batches of 16 rows"),
            std::string::npos)
      << errors_;
  EXPECT_EQ(Run(Train("run", {"pipeline.memory=60000000", "train.epochs=1"})), 0) << errors_;
}

TEST_F(Training, ARunIsNeverOverwritten) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  EXPECT_EQ(Run(Train("run")), 2);
  EXPECT_NE(errors_.find("resume=true"), std::string::npos) << errors_;
}

TEST_F(Training, AResumeWithAnotherOrderIsRefused) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  EXPECT_EQ(Run(Train("run", {"resume=true", "train.batch_size=8"})), 2);
  EXPECT_NE(errors_.find("train.batch_size"), std::string::npos) << errors_;
  EXPECT_EQ(Run(Train("run", {"resume=true", "data.train=synthetic:300"})), 2);
}

TEST_F(Training, ADamagedCheckpointIsPassedOverAndNamed) {
  ASSERT_EQ(Run(Train("whole")), 0) << errors_;
  ASSERT_EQ(Run(Train("cut")), 0) << errors_;
  const std::string model = folder_ / "cut/checkpoints/step_48/model.safetensors";
  std::filesystem::resize_file(model, std::filesystem::file_size(model) / 2);
  ASSERT_EQ(Run(Train("cut", {"resume=true"})), 0) << errors_;
  EXPECT_NE(errors_.find("step_48"), std::string::npos) << errors_;
  EXPECT_NE(errors_.find("at step 36"), std::string::npos) << errors_;
  ExpectSameEnd("whole", "cut");
}

TEST_F(Training, AResumeEqualsAnUninterruptedRunWhateverTheState) {
  const std::vector<std::vector<std::string>> kinds = {
      {"objective.name=openclip"},
      {"objective.name=siglip", "temperature.init=0.1"},
      {"objective.name=isogclr", "gamma.schedule=constant", "temperature.schedule=const"},
      {"objective.name=fastclip_v2", "objective.mode=reference", "temperature.schedule=const"},
      {"train.precision=amp", "train.grad_checkpointing=true", "train.micro_batches=2"}};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    SCOPED_TRACE(kinds[i].front());
    const std::string whole = "whole" + std::to_string(i), cut = "cut" + std::to_string(i);
    std::vector<std::string> words = kinds[i];
    words.push_back("train.epochs=2");
    ASSERT_EQ(Run(Train(whole, words)), 0) << errors_;
    ASSERT_EQ(Run(Train(cut, words)), 0) << errors_;
    std::filesystem::remove_all(folder_ / cut + "/checkpoints/step_24");
    words.emplace_back("resume=true");
    ASSERT_EQ(Run(Train(cut, words)), 0) << errors_;
    EXPECT_NE(errors_.find("at step 12"), std::string::npos) << errors_;
    ExpectSameEnd(whole, cut);
  }
}

TEST_F(Training, RunningStatisticsAndPatchDropoutResumeToTheBit) {
  const std::vector<std::vector<std::string>> kinds = {
      {"model.name=" + ResNetModel(), "train.micro_batches=2", "train.epochs=2"},
      {"model.patch_dropout=0.5", "train.epochs=2"}};
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    const std::string whole = "whole" + std::to_string(kind), cut = "cut" + std::to_string(kind);
    std::vector<std::string> resume = kinds[kind];
    resume.push_back("resume=true");
    ASSERT_EQ(Run(Train(whole, kinds[kind])), 0) << errors_;
    ASSERT_EQ(Run(Train(cut, kinds[kind])), 0) << errors_;
    std::filesystem::remove_all(folder_ / (cut + "/checkpoints/step_24"));
    ASSERT_EQ(Run(Train(cut, resume)), 0) << errors_;
    EXPECT_NE(errors_.find("at step 12"), std::string::npos) << errors_;
    ExpectSameEnd(whole, cut, 24);
  }
}

TEST_F(Training, OnImagesPlaneByPlaneIsTheSameUpToRounding) {
  for (const std::string& model : {folder_ / "model.toml", ResNetModel()}) {
    const std::string name = std::filesystem::path(model).stem();
    const std::vector<std::string> words = {"model.name=" + model, "train.epochs=1",
                                            "train.precision=fp64", "data.val=synthetic:40",
                                            "eval.every_epochs=1"};
    ASSERT_EQ(Run(Train(name + "-last", words)), 0) << errors_;
    std::vector<std::string> planes = words;
    planes.emplace_back("train.channels_last=false");
    ASSERT_EQ(Run(Train(name + "-planes", planes)), 0) << errors_;
    const auto one = Metrics(name + "-last"), other = Metrics(name + "-planes");
    ASSERT_EQ(one.size(), other.size());
    bool evaluated = false;
    for (std::size_t i = 0; i < one.size(); ++i) {
      for (const auto& [key, value] : one[i].items()) {
        if (!value.is_number_float()) continue;
        EXPECT_NEAR(value.get<double>(), other[i].at(key).get<double>(),
                    1e-9 * std::max(1.0, std::abs(value.get<double>())))
            << key << " of line " << i;
      }
      evaluated |= one[i].at("event") != "train";
    }
    EXPECT_TRUE(evaluated);
  }
}

TEST_F(Training, ALockedTowerIsSavedAsItStartedAndHasNoOptimizerState) {
  ASSERT_EQ(Run(Train("free", {"train.epochs=1"})), 0) << errors_;
  const std::string start = "/checkpoints/step_12/";
  ASSERT_EQ(Run(Train("locked", {"train.epochs=1", "train.init=" + (folder_ / "free"),
                                 "model.lock_image=true", "model.lock_image_unlocked_groups=1"})),
            0)
      << errors_;
  EXPECT_NE(errors_.find("of them trainable"), std::string::npos) << errors_;
  std::map<std::string, at::Tensor> before;
  for (auto& [name, tensor] :
       ReadSafetensors(folder_ / ("free" + start + "model.safetensors")).tensors)
    before.emplace(name, tensor);
  const auto after = ReadSafetensors(folder_ / ("locked" + start + "model.safetensors")).tensors;
  EXPECT_EQ(after.size(), before.size());
  for (const auto& [name, tensor] : after) {
    const bool locked = name.starts_with("visual.") && name != "visual.proj";
    EXPECT_EQ(at::equal(tensor, before.at(name)), locked) << name;
  }
  for (const auto& [name, tensor] :
       ReadSafetensors(folder_ / ("locked" + start + "optimizer.safetensors")).tensors) {
    EXPECT_TRUE(name.find("visual.") == std::string::npos || name.ends_with("visual.proj")) << name;
  }
  EXPECT_EQ(Run(Train("locked", {"train.epochs=2", "resume=true"})), 2);
  EXPECT_NE(errors_.find("model.lock_image was true in this run and is false now"),
            std::string::npos)
      << errors_;
}

TEST_F(Training, TowerOptionsThatDoNotFitTheModelAreRefused) {
  EXPECT_EQ(Run(Train("run", {"model.lock_image=true", "model.lock_image_unlocked_groups=4"})), 2);
  EXPECT_NE(
      errors_.find("model.lock_image_unlocked_groups: 4 groups, but the image tower with 1 layer "
                   "has 3"),
      std::string::npos)
      << errors_;
  EXPECT_EQ(Run(Train("run", {"model.lock_image=true", "model.lock_text=true"})), 2);
  EXPECT_NE(errors_.find("nothing is left to train"), std::string::npos) << errors_;
  EXPECT_EQ(Run(Train("run", {"model.name=" + ResNetModel(), "model.patch_dropout=0.5"})), 2);
  EXPECT_NE(errors_.find("is a ResNet and has no patches"), std::string::npos) << errors_;
  EXPECT_EQ(Run(Train("run", {"model.patch_dropout=1"})), 2);
  EXPECT_NE(errors_.find("model.patch_dropout must be a number from 0 to 0.999"), std::string::npos)
      << errors_;
}

TEST_F(Training, AnInitStartsFromWeightsAndEstimators) {
  ASSERT_EQ(Run(Train("first", {"train.epochs=2"})), 0) << errors_;
  ASSERT_EQ(Run(Train("second", {"train.init=" + (folder_ / "first"), "train.batch_size=32",
                                 "train.epochs=1"})),
            0)
      << errors_;
  EXPECT_NE(errors_.find("weights and estimators"), std::string::npos) << errors_;
  // The first epoch replaces u whatever it was (γ = 1), but no sample is seen for the first time.
  EXPECT_EQ(Metrics("second").front()["first_visits"].get<double>(), 0.0);
}

TEST_F(Training, AVocabularyThatDoesNotFitTheModelIsRefused) {
  std::ofstream model(folder_ / "small.toml");
  model << "embed_dim = 16\n[text]\nvocab_size = 100\nwidth = 64\nheads = 1\nlayers = 1\n";
  model.close();
  EXPECT_EQ(Run(Train("run", {"model.name=" + (folder_ / "small.toml")})), 2);
  EXPECT_NE(errors_.find("text.vocab_size = 49408"), std::string::npos) << errors_;
}

TEST_F(Training, StepsWithoutFiniteLossWriteNothingAndFiveInARowEndTheRun) {
  EXPECT_EQ(Run(Train("run", {"learning_rate.lr=100", "learning_rate.warmup=0",
                              "optimizer.weight_decay=100", "train.epochs=50",
                              "checkpoint.every_steps=1"})),
            1);
  EXPECT_NE(errors_.find("in 5 steps in a row"), std::string::npos) << errors_;
  EXPECT_NE(errors_.find("checkpoints/step_"), std::string::npos) << errors_;
}

}  // namespace
}  // namespace fastclip
