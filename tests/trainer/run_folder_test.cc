#include <map>
#include <random>

#include "pipeline/convert/lint.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

/// Training on tar shards that lie in the test's folder: {0..3}.tar and val.tar.
class TrainingOnShards : public Training {
 protected:
  static constexpr int kRecords = 60;

  void SetUp() override {
    Training::SetUp();
    for (int shard = 0; shard < 4; ++shard) Write(std::to_string(shard) + ".tar", 1000 * shard);
    Write("val.tar", 9000);
  }
  void Write(const std::string& name, int first) {
    Members members;
    for (int i = 0; i < kRecords; ++i) {
      const std::string key = std::to_string(first + i);
      std::string image = AsString(PngOf(first + i));
      if (i % 9 == 4) image.resize(image.size() / 2);
      members.emplace_back(key + ".png", image);
      if (i % 11 != 5) members.emplace_back(key + ".txt", "picture " + key);
    }
    WriteShard(folder_ / name, members);
  }
  void Truncate(const std::string& name) {
    std::filesystem::resize_file(folder_ / name,
                                 std::filesystem::file_size(folder_ / name) / 2 + 100);
  }
  std::vector<std::string> OnShards(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"data.train=" + (folder_ / "{0..3}.tar"), "train.epochs=1"});
    return words;
  }
  /// index → cause, of RUN/quarantine.jsonl, which names nothing twice.
  std::map<std::int64_t, std::string> Quarantined(const std::string& run) {
    std::map<std::int64_t, std::string> causes;
    std::ifstream file(folder_ / (run + "/quarantine.jsonl"));
    for (std::string text; std::getline(file, text);) {
      const auto line = nlohmann::json::parse(text);
      EXPECT_TRUE(std::filesystem::path(line["file"]).extension() == ".tar") << text;
      EXPECT_TRUE(causes.emplace(line["index"], line["cause"]).second) << text;
    }
    return causes;
  }
  /// The same of all that is bad in the shards.
  std::map<std::int64_t, std::string> Injected() {
    std::map<std::int64_t, std::string> causes;
    Lint(*OpenSource(folder_ / "{0..3}.tar"), {}, 1,
         [&](const BadRecord& bad) { causes[ToInt(bad.index)] = SkipName(bad.cause); }, {});
    return causes;
  }
  void ExpectFailure(const std::string& reason) {
    EXPECT_EQ(Run(Train("bad", OnShards())), 1);
    EXPECT_NE(errors_.find(reason), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  }
};

TEST_F(TrainingOnShards, AReplayOfARunOrItsConfigEqualsTheReplayOfItsShards) {
  const std::vector<std::string> words = {"data.lanes=4", "data.max_skips_per_mille=500"};
  ASSERT_EQ(Run(Train("run", OnShards(words))), 0) << errors_;
  ASSERT_EQ(Run({"shards", "replay", folder_ / "{0..3}.tar", "--seed", "2024", "--batch", "16",
                 "--size", "32", "--context", "16", "--lanes", "4", "--epoch", "0"}),
            0)
      << errors_;
  const std::string lines = output_;
  EXPECT_EQ(std::ranges::count(lines, '\n'), 4 * kRecords / 16);
  for (const char* path : {"run", "run/config.toml"}) {
    ASSERT_EQ(Run({"shards", "replay", folder_ / path, "--epoch", "0", "--world", "2"}), 0)
        << errors_;
    EXPECT_EQ(output_, lines) << path;
  }
}

TEST_F(TrainingOnShards, SaysWhatIsWrongWithThemAndTrains) {
  Truncate("2.tar");
  Truncate("val.tar");
  ASSERT_EQ(Run(Train("cut", OnShards({"data.val=" + (folder_ / "val.tar")}))), 0) << errors_;
  EXPECT_NE(errors_.find("{0..3}.tar: truncated (no end-of-archive mark): 2.tar"),
            std::string::npos)
      << errors_;
  EXPECT_NE(errors_.find("val.tar: truncated"), std::string::npos) << errors_;
  EXPECT_NE(errors_.find("lack an image, or a caption or label"), std::string::npos) << errors_;
  EXPECT_GT(Metrics("cut").back()["skips"].size(), 0u);

  std::filesystem::remove(folder_ / "1.tar");  // the manifest knows what was in it
  ASSERT_EQ(Run(Train("gone", OnShards())), 0) << errors_;
  EXPECT_NE(errors_.find("missing since the list was indexed: " + (folder_ / "1.tar")),
            std::string::npos)
      << errors_;
  EXPECT_NE(errors_.find("missing"), std::string::npos) << errors_;

  ASSERT_EQ(Run({"eval", "retrieval", folder_ / "cut", "--shards", folder_ / "val.tar", "--json"}),
            0)
      << errors_;
  EXPECT_NE(errors_.find("truncated (no end-of-archive mark)"), std::string::npos) << errors_;
}

TEST_F(TrainingOnShards, EndsOnOneLineWhereAShardCannotBeRead) {
  WriteFile(folder_ / "2.tar", "\x1f\x8b\x08" + std::string(600, 'x'));
  ExpectFailure("2.tar: compressed (gzip)");
  WriteFile(folder_ / "2.tar", "<html>404 not found</html>");
  ExpectFailure("2.tar: not a tar file");
  std::filesystem::remove(folder_ / "2.tar");
  ExpectFailure("1 of 4 files missing: " + (folder_ / "2.tar"));
}

TEST_F(TrainingOnShards, AShardThatChangedIsRefusedByName) {
  const auto words = OnShards({"data.max_skips_per_mille=1000"});
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  const std::string bytes = ReadText(folder_ / "1.tar");
  auto on = Train("run", words);
  on.insert(on.end(), {"resume=true", "train.epochs=2"});
  const std::string list = folder_ / "{0..3}.tar";
  const auto expect_refused = [&] {
    for (const auto& command : {on, {"shards", "lint", list}, {"shards", "info", list}}) {
      EXPECT_EQ(Run(command), 1);
      EXPECT_NE(errors_.find("1.tar: changed since it was indexed"), std::string::npos) << errors_;
    }
  };
  Truncate("1.tar");
  expect_refused();
  Write("1.tar", 5000);  // as many records, of other pictures
  expect_refused();
  ASSERT_EQ(Run({"shards", "index", list}), 0) << errors_;
  ASSERT_EQ(Run(on), 2);  // it is other data now
  EXPECT_NE(errors_.find("the data's hash"), std::string::npos) << errors_;
  EXPECT_NE(errors_.find((folder_ / "1.tar") + " has different records"), std::string::npos)
      << errors_;
  WriteFile(folder_ / "1.tar", bytes);
  ASSERT_EQ(Run({"shards", "index", list}), 0) << errors_;
  EXPECT_EQ(Run(on), 0) << errors_;
  for (int i = 0; i < 4; ++i) {  // fewer records than a batch
    const std::string key = std::to_string(i);
    WriteShard(folder_ / (key + ".tar"), {{key + ".png", AsString(PngOf(i))}, {key + ".txt", "x"}});
  }
  ASSERT_EQ(Run({"shards", "index", list}), 0) << errors_;
  ASSERT_EQ(Run(on), 2);
  EXPECT_NE(errors_.find("the data changed since the run started: "), std::string::npos) << errors_;
}

TEST_F(TrainingOnShards, AResumeNamesAShardThatIsGoneOrNew) {
  auto words = OnShards({"data.max_skips_per_mille=1000"});
  words.front() = "data.train=" + (folder_ / "?.tar");
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  words.emplace_back("resume=true");
  std::filesystem::rename(folder_ / "2.tar", folder_ / "away");
  EXPECT_EQ(Run(Train("run", words)), 2);
  EXPECT_NE(errors_.find((folder_ / "2.tar") + " is no longer in the list"), std::string::npos)
      << errors_;
  Write("8.tar", 7000);
  EXPECT_EQ(Run(Train("run", words)), 2);
  EXPECT_NE(
      errors_.find((folder_ / "2.tar") + " is no longer in the list, and 1 more file differs"),
      std::string::npos)
      << errors_;
  std::filesystem::rename(folder_ / "away", folder_ / "2.tar");
  EXPECT_EQ(Run(Train("run", words)), 2);
  EXPECT_NE(errors_.find((folder_ / "8.tar") + " is new"), std::string::npos) << errors_;
  std::filesystem::remove(folder_ / "8.tar");
  EXPECT_EQ(Run(Train("run", words)), 0) << errors_;
}

TEST_F(TrainingOnShards, KillsAndStopsChangeNothingOverDamagedShards) {
  Truncate("2.tar");
  const std::vector<std::string> words =
      OnShards({"data.val=" + (folder_ / "val.tar"), "train.epochs=4", "checkpoint.every_steps=5",
                "data.max_skips_per_mille=500"});
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  const auto whole = Metrics("whole");
  const int steps = whole.back()["step"];
  ASSERT_GT(steps, 30);
  EXPECT_EQ(whole.back()["event"], "retrieval");
  EXPECT_EQ(Quarantined("whole"), Injected());
  EXPECT_NE(errors_.find("2.tar: "), std::string::npos) << errors_;
  EXPECT_EQ(std::count_if(whole.begin(), whole.end(),
                          [](const auto& line) { return line["event"] == "retrieval"; }),
            4);

  std::vector<std::string> resume = words;
  resume.push_back("resume=true");
  std::mt19937 random(3);
  for (int kill = 0; kill < 4; ++kill) {
    Program program(folder_.path(), Train("cut", resume));
    const std::size_t lines = 8 * kill + random() % 8 + 1;
    while (program.running() && Metrics("cut").size() < lines) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    program.Signal(kill % 2 == 0 ? SIGKILL : SIGTERM);
    EXPECT_EQ(program.Wait(), 128 + (kill % 2 == 0 ? SIGKILL : SIGTERM)) << program.errors();
  }
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;
  ExpectSameEnd("whole", "cut", steps);
  EXPECT_EQ(Quarantined("cut"), Injected());
}

TEST_F(TrainingOnShards, TwoRanksPassOverTheSameRecordsAsOne) {
  Truncate("2.tar");
  OpenSource(folder_ / "{0..3}.tar");  // indexed before a shard goes
  std::filesystem::remove(folder_ / "3.tar");
  const auto words = OnShards({"train.epochs=3", "data.max_skips_per_mille=1000"});
  ASSERT_EQ(Run(Train("one", words)), 0) << errors_;
  auto ranks = Train("two", words);
  ranks.insert(ranks.end(), {"--ranks", "2"});
  ASSERT_EQ(Run(ranks), 0) << errors_;
  EXPECT_EQ(Metrics("one").back()["skips"], Metrics("two").back()["skips"]);
  EXPECT_EQ(Quarantined("one"), Injected());
  EXPECT_EQ(Quarantined("two"), Injected());
}

TEST_F(TrainingOnShards, GarbageStopsTheRunWithoutLoss) {
  for (const char* shard : {"0.tar", "2.tar"}) Truncate(shard);
  const auto words = OnShards({"train.epochs=9"});
  ASSERT_EQ(Run(Train("run", words)), 1);
  EXPECT_NE(errors_.find("more than data.max_skips_per_mille = 100; see " +
                         (folder_ / "run/quarantine.jsonl")),
            std::string::npos)
      << errors_;
  const int stopped = Metrics("run").back()["step"];
  EXPECT_FALSE(Quarantined("run").empty());
  EXPECT_NE(errors_.find("  " + (folder_ / "0.tar") + ": "), std::string::npos) << errors_;

  auto on = Train("run", words);
  on.insert(on.end(), {"resume=true", "data.max_skips_per_mille=900"});
  ASSERT_EQ(Run(on), 0) << errors_;
  EXPECT_NE(errors_.find("at step " + std::to_string(stopped)), std::string::npos) << errors_;
}

TEST_F(TrainingOnShards, NamesWhatIsBadWhenThereIsNoSubstituteLeft) {
  std::string bytes = ReadText(folder_ / "1.tar");
  for (std::size_t at = 0; (at = bytes.find("IHDR", at)) != std::string::npos;) bytes[at] = 'x';
  WriteFile(folder_ / "1.tar", bytes);
  ASSERT_EQ(Run(Train("run", {"data.train=" + (folder_ / "1.tar"), "train.epochs=1"})), 1);
  // How many of how many, why, where they are listed, and what to change.
  for (const char* part :
       {"too many records cannot be used: a step takes ", " records that are shuffled together",
        " undecodable; ", "bad so far: ", "quarantine.jsonl in the run folder lists them)",
        "smaller train.batch_size"}) {
    EXPECT_NE(errors_.find(part), std::string::npos) << part << '\n' << errors_;
  }
  EXPECT_NE(errors_.find("  " + (folder_ / "1.tar") + ": "), std::string::npos) << errors_;
  const auto named = Quarantined("run");
  EXPECT_GE(std::ranges::count(named, "undecodable", [](const auto& bad) { return bad.second; }),
            4);
}

TEST_F(TrainingOnShards, ASetWithoutCaptionsIsRefusedBeforeTheFirstStep) {
  Members members;
  for (int i = 0; i < 200; ++i) {
    members.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
    members.emplace_back(std::to_string(i) + ".cls", std::to_string(i % 10));
  }
  WriteShard(folder_ / "classes.tar", members);
  for (const std::string key : {"data.train", "data.val"}) {
    ASSERT_EQ(Run(Train("run", {key + "=" + (folder_ / "classes.tar")})), 1);
    EXPECT_NE(errors_.find(key + ": " + (folder_ / "classes.tar") +
                           ": no record (64 of 200 checked) has a caption"),
              std::string::npos)
        << errors_;
    EXPECT_NE(errors_.find("They have .cls, .png"), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/metrics.jsonl"));
}

TEST_F(TrainingOnShards, TellsOfATxtOfSeveralLines) {
  WriteShard(folder_ / "0.tar", [] {
    Members members;
    for (int i = 0; i < 40; ++i) {
      members.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
      members.emplace_back(std::to_string(i) + ".txt", i % 4 == 0 ? "one\ntwo" : "one");
    }
    return members;
  }());
  const std::vector<std::string> words = {"data.train=" + (folder_ / "0.tar"), "train.epochs=1"};
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  EXPECT_NE(errors_.find("data.train: the .txt of 10 of 40 checked records has several lines, read "
                         "as one caption (data.caption_lines)"),
            std::string::npos)
      << errors_;
}

TEST_F(TrainingOnShards, AQuarantineThatIsNoneIsNamed) {
  const auto words = OnShards();
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  const std::string file = folder_ / "run/quarantine.jsonl";
  const std::string sound = ReadText(file);
  auto on = Train("run", words);
  on.insert(on.end(), {"resume=true", "train.epochs=2"});
  WriteFile(file, sound + R"({"file":"0.tar","offset":0,"index":240,"cause":"missing"})" + "\n");
  ASSERT_EQ(Run(on), 1);
  EXPECT_NE(errors_.find("quarantine.jsonl:"), std::string::npos) << errors_;
  WriteFile(file, sound + R"({"file":"0.t)");  // a crash
  ASSERT_EQ(Run(on), 0) << errors_;
  EXPECT_TRUE(ReadText(file).starts_with(sound));
}

TEST_F(TrainingOnShards, KeepsAConfigThatWorksFromAnyFolder) {
  const std::string folder = folder_.path();
  ASSERT_EQ(Run({"train", "run.toml", "run=runs/a", "model.name=model.toml", "train.epochs=1",
                 "data.train={0..1}.tar::./{2,3}.tar", "data.val=val.tar"},
                folder),
            0)
      << errors_;
  // Elsewhere, and the model file has changed since: a run keeps its own.
  std::filesystem::rename(folder_ / "model.toml", folder_ / "other.toml");
  ASSERT_EQ(
      Run({"eval", "retrieval", folder_ / "runs/a", "--shards", folder_ / "val.tar", "--json"},
          "/"),
      0)
      << errors_;
  ASSERT_EQ(Run({"train", folder_ / "runs/a/config.toml", "resume=true"}, "/"), 0) << errors_;
  EXPECT_NE(errors_.find("resumed"), std::string::npos) << errors_;
  std::filesystem::rename(folder_ / "runs", folder_ / "moved");
  ASSERT_EQ(Run({"eval", "retrieval", "moved/a", "--shards", "val.tar", "--json"}, folder), 0)
      << errors_;
}

}  // namespace
}  // namespace fastclip
