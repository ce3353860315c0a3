#include <fmt/format.h>

#include <span>

#include "pipeline/shards/tar_writer.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

class EvalRetrieval : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("run", {"train.epochs=2"})), 0) << errors_;  // step_12, step_24
  }
  int Eval(const std::string& model, const std::vector<std::string>& words = {}) {
    std::vector<std::string> all = {"eval", "retrieval", model, "--shards", "synthetic:50"};
    all.insert(all.end(), words.begin(), words.end());
    return Run(all);
  }
  void ExpectError(int code, const std::string& model, const std::vector<std::string>& words,
                   const std::string& what) {
    EXPECT_EQ(Eval(model, words), code);
    EXPECT_NE(errors_.find(what), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
    EXPECT_EQ(output_, "");
  }
  std::string At(const std::string& name) const { return folder_ / ("run/checkpoints/" + name); }
};

TEST_F(EvalRetrieval, PrintsOneJsonObjectUnderOpenClipsNames) {
  ASSERT_EQ(Eval(folder_ / "run", {"--json"}), 0) << errors_;
  EXPECT_EQ(errors_, "");
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 1);
  const auto json = nlohmann::json::parse(output_);
  for (const std::string side : {"image_to_text", "text_to_image"}) {
    EXPECT_GT(json[side + "_R@10"], 0);
    EXPECT_LE(json[side + "_R@10"], 1);
    EXPECT_LE(json[side + "_R@1"], json[side + "_R@5"]);
    EXPECT_LE(json[side + "_R@5"], json[side + "_R@10"]);
    EXPECT_GE(json[side + "_median_rank"], 1);
    EXPECT_GE(json[side + "_mean_rank"], 1);
  }
  EXPECT_EQ(json["num_samples"], 50);
  EXPECT_EQ(json["num_captions"], 50);
  EXPECT_EQ(json["model"], At("step_24/model.safetensors"));
}

TEST_F(EvalRetrieval, GivesTheSameFromRunCheckpointAndFileForAnyBatchAndThreads) {
  const auto figures = [&] {
    auto json = nlohmann::json::parse(output_);
    for (const char* other : {"model", "seconds"}) json.erase(other);
    return json;
  };
  ASSERT_EQ(Eval(folder_ / "run", {"--json"}), 0) << errors_;
  const auto expected = figures();
  ASSERT_EQ(Eval(At("step_24/"), {"--json", "--batch", "7", "--threads", "1"}), 0) << errors_;
  auto in_small_batches = figures();  // whose features differ in the last bit
  EXPECT_NEAR(in_small_batches["clip_val_loss"], expected["clip_val_loss"], 1e-5);
  in_small_batches["clip_val_loss"] = expected["clip_val_loss"];
  EXPECT_EQ(in_small_batches, expected);
  ASSERT_EQ(Eval(At("step_24/model.safetensors"), {"--json", "--model", folder_ / "model.toml"}), 0)
      << errors_;
  EXPECT_EQ(figures(), expected);
}

TEST_F(EvalRetrieval, PrintsATableForPeople) {
  ASSERT_EQ(Eval(folder_ / "run"), 0) << errors_;
  for (const char* part : {"R@10", "image to text", "text to image", "50 images", "step_24"}) {
    EXPECT_NE(output_.find(part), std::string::npos) << output_;
  }
}

TEST_F(EvalRetrieval, ReadsATxtOfSeveralLinesAsOneCaptionALineAndSaysSo) {
  const std::string shard = folder_ / "val.tar";
  TarWriter writer(shard);
  for (int i = 0; i < 8; ++i) {
    const std::string text = fmt::format("a red {0}\na {0} on the left\n\n{0} of five\n", i);
    writer.Add(fmt::format("{}.png", i), PngOf(i));
    writer.Add(fmt::format("{}.txt", i), std::as_bytes(std::span(text)));
  }
  writer.Close();
  const auto eval = [&](const std::vector<std::string>& words) {
    std::vector<std::string> all = {"eval", "retrieval", folder_ / "run", "--shards", shard};
    all.insert(all.end(), words.begin(), words.end());
    return Run(all);
  };
  ASSERT_EQ(eval({}), 0) << errors_;
  EXPECT_NE(output_.find("8 images, 24 captions (.txt read as one caption per line)"),
            std::string::npos)
      << output_;
  ASSERT_EQ(eval({"--json"}), 0) << errors_;
  EXPECT_EQ(nlohmann::json::parse(output_)["num_captions"], 24);
  EXPECT_EQ(nlohmann::json::parse(output_)["texts_of_several_lines"], 8);
  ASSERT_EQ(eval({"--caption-lines", "whole"}), 0) << errors_;
  EXPECT_NE(output_.find("8 images, 8 captions (.txt of several lines read as one caption)"),
            std::string::npos)
      << output_;
  EXPECT_EQ(eval({"--caption-lines", "some"}), 2);

  ASSERT_EQ(Run(Train("other", {"data.val=" + shard, "train.epochs=1"})), 0) << errors_;
  EXPECT_NE(errors_.find("(8 images, 24 captions: .txt read as one caption per line)"),
            std::string::npos)
      << errors_;
  ASSERT_EQ(
      Run(Train("whole", {"data.val=" + shard, "data.caption_lines=whole", "train.epochs=1"})), 0)
      << errors_;
  EXPECT_NE(errors_.find("8 captions: .txt of several lines read as one"), std::string::npos)
      << errors_;
  // As the run reads it, unless the command says otherwise.
  ASSERT_EQ(Run({"eval", "retrieval", folder_ / "whole", "--shards", shard}), 0) << errors_;
  EXPECT_NE(output_.find("8 images, 8 captions"), std::string::npos) << output_;
}

TEST_F(EvalRetrieval, TakesShardsThatWereReplacedAsTheyAreNow) {
  const std::string shard = folder_ / "replaced.tar";
  for (const int pictures : {4, 6}) {
    TarWriter writer(shard);
    for (int i = 0; i < pictures; ++i) {
      const std::string key = fmt::format("{}-{}", pictures, i), text = "picture " + key;
      writer.Add(key + ".png", PngOf(i));
      writer.Add(key + ".txt", std::as_bytes(std::span(text)));
    }
    writer.Close();
    ASSERT_EQ(Run({"eval", "retrieval", folder_ / "run", "--shards", shard, "--json"}), 0)
        << errors_;
    EXPECT_EQ(nlohmann::json::parse(output_)["num_samples"], pictures);
  }
}

TEST_F(EvalRetrieval, PassesOverADamagedCheckpointAndSaysSo) {
  const std::string newest = At("step_24/model.safetensors");
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) / 2);
  ASSERT_EQ(Eval(folder_ / "run", {"--json"}), 0) << errors_;
  EXPECT_NE(errors_.find("step_24: model.safetensors has"), std::string::npos) << errors_;
  EXPECT_EQ(nlohmann::json::parse(output_)["model"], At("step_12/model.safetensors"));
  ExpectError(1, At("step_24"), {}, "use another checkpoint");
}

TEST_F(EvalRetrieval, SaysWhatToDoOnOneLine) {
  ExpectError(1, folder_ / "nothing", {}, "no such file or folder");
  std::filesystem::copy_file(At("step_24/model.safetensors"), folder_ / "alone.safetensors");
  ExpectError(2, folder_ / "alone.safetensors", {},
              "alone.safetensors: unknown model; set --model to one of");
  ExpectError(2, folder_ / "run", {"--model", "ViT-B-32"}, "ViT-B-32");  // another model's weights
  EXPECT_EQ(Run({"eval", "retrieval", folder_ / "run", "--shards", folder_ / "none-{0..3}.tar"}),
            1);
  EXPECT_NE(errors_.find("none-"), std::string::npos) << errors_;
  ExpectError(2, folder_ / "run", {"--batch", "0"},
              "--batch must be an integer from 1 to 65536, not '0'");
  std::string model = ReadText(folder_ / "model.toml");
  model.replace(model.find("49408"), 5, "1000");
  std::ofstream(folder_ / "small.toml") << model;
  ExpectError(1, folder_ / "run", {"--model", folder_ / "small.toml"}, "has 1000 embeddings");
}

}  // namespace
}  // namespace fastclip
