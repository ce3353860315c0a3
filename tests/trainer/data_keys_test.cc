#include <random>

#include "pipeline/pixels/encode.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/exif_maker.h"
#include "tests/support/jpeg_maker.h"
#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

/// Keys of [data], [pipeline], [model] and [objective] that few people turn: what each does to a
/// run of four steps.
class DataKeys : public Training {
 protected:
  static constexpr int kRecords = 32;

  void SetUp() override {
    Training::SetUp();
    Members members;
    std::mt19937 random(7);
    for (int i = 0; i < kRecords; ++i) {
      const std::string key = std::to_string(1000 + i);
      const int side = i == 5 ? 200 : 160;
      Image image{side, 120, {}};
      image.pixels.resize(static_cast<std::size_t>(side) * 120 * 3);
      for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random());
      if (i == 9) {
        members.emplace_back(key + ".png", AsString(EncodePng(image)));
      } else {
        members.emplace_back(key + ".jpg",
                             AsString(WithExif(MakeJpeg(image.pixels, side, 120, {}), ExifOf(6))));
      }
      members.emplace_back(key + ".txt", "noise " + key);
      if (i == 12)
        members.emplace_back(key + ".json", "{\"a\": \"" + std::string(200'000, 'x') + "\"}");
    }
    WriteShard(folder_ / "0.tar", members);
  }

  /// Loss of the last step, and what was skipped.
  struct End {
    double loss = 0;
    std::string skips;
  };
  End TrainWith(const std::string& word) {
    const std::string name = "run" + std::to_string(runs_++);
    std::vector<std::string> words = {"data.train=" + (folder_ / "0.tar"), "train.epochs=1",
                                      "train.batch_size=8"};
    if (!word.empty()) words.push_back(word);
    EXPECT_EQ(Run(Train(name, words)), 0) << word << ": " << errors_;
    const auto lines = Metrics(name);
    if (lines.empty()) return {};
    return {lines.back()["loss"], lines.back()["skips"].dump()};
  }

 private:
  int runs_ = 0;
};

TEST_F(DataKeys, ChangePixelsAndLossButNoSkips) {
  const End plain = TrainWith("");
  EXPECT_EQ(plain.skips, "{}");
  for (const char* word :
       {"pipeline.scale_max=0.95", "pipeline.ratio_min=0.5", "pipeline.ratio_max=2.0",
        "pipeline.exif_rotate=true", "pipeline.pixels=fast", "objective.epsilon=0.1"}) {
    const End changed = TrainWith(word);
    EXPECT_NE(changed.loss, plain.loss) << word;
    EXPECT_EQ(changed.skips, "{}") << word;
  }
}

TEST_F(DataKeys, OfSpeedAndMemoryChangeTheLossByRoundingAlone) {
  const End plain = TrainWith("");
  for (const char* word : {"objective.tile=3", "model.trim_text=false", "train.length_groups=1",
                           "train.length_groups=5"}) {
    EXPECT_NEAR(TrainWith(word).loss, plain.loss, 1e-5) << word;
  }
}

TEST_F(DataKeys, OfLimitsSkipTheRecordsBeyondThem) {
  for (const auto& [word, skips] : {std::pair{"data.max_record_bytes=150000", R"({"too_large":1})"},
                                    {"pipeline.max_pixels=20000", R"({"too_large":1})"},
                                    {"pipeline.formats=[\"jpeg\"]", R"({"no_image":1})"}}) {
    EXPECT_EQ(TrainWith(word).skips, skips) << word;
  }
}

TEST_F(DataKeys, EndARunOnTooManyBadRecordsInARow) {
  EXPECT_EQ(
      Run(Train("row", {"data.train=" + (folder_ / "0.tar"), "train.epochs=1", "train.batch_size=8",
                        "pipeline.max_pixels=20000", "pipeline.max_skips_in_a_row=1"})),
      1);
  EXPECT_NE(errors_.find("or raise pipeline.max_skips_in_a_row"), std::string::npos) << errors_;
}

TEST_F(DataKeys, PutTheManifestWhereToldAndVerifyChecksums) {
  const std::string manifest = folder_ / "here.manifest";
  TrainWith("data.manifest=" + manifest);
  EXPECT_TRUE(std::filesystem::exists(manifest));
  const std::vector<std::string> words = {"data.train=" + (folder_ / "0.tar"), "train.epochs=1",
                                          "train.batch_size=8", "data.verify_checksums=true"};
  EXPECT_EQ(Run(Train("unknown", words)), 1);
  EXPECT_NE(errors_.find("shards index --checksum"), std::string::npos) << errors_;
  ASSERT_EQ(Run({"shards", "index", "--checksum", folder_ / "0.tar"}), 0) << errors_;
  EXPECT_EQ(Run(Train("known", words)), 0) << errors_;
}

}  // namespace
}  // namespace fastclip
