#include <fmt/format.h>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

/// Pictures of six shapes, whose number is the label.
class EvalClasses : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    Write("classes.txt", "circle\nsquare\ntriangle\nring\ncross\nbar\n");
    Write("templates.txt", "a {} on the left\na red {}\n{}\n");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  void TrainOne() { ASSERT_EQ(Run(Train("run", {"train.epochs=2"})), 0) << errors_; }
  int ZeroShot(const std::vector<std::string>& words = {}) {
    std::vector<std::string> all = {"eval",
                                    "zeroshot",
                                    folder_ / "run",
                                    "--shards",
                                    shards_,
                                    "--classes",
                                    folder_ / "classes.txt",
                                    "--templates",
                                    folder_ / "templates.txt"};
    all.insert(all.end(), words.begin(), words.end());
    return Run(all);
  }
  int Linear(const std::vector<std::string>& words = {}) {
    std::vector<std::string> all = {"eval",          "linear",   folder_ / "run", "--train",
                                    "synthetic:300", "--shards", shards_};
    all.insert(all.end(), words.begin(), words.end());
    return Run(all);
  }
  void ExpectError(int code, int expected_code, const std::string& part) {
    EXPECT_EQ(code, expected_code);
    EXPECT_NE(errors_.find(part), std::string::npos) << errors_;
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
    EXPECT_EQ(output_, "");
  }
  nlohmann::json Figures() const {
    auto json = nlohmann::json::parse(output_);
    json.erase("seconds");
    return json;
  }

  std::string shards_ = "synthetic:60";
};

TEST_F(EvalClasses, ZeroShotPrintsOneJsonObject) {
  TrainOne();
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  EXPECT_EQ(errors_, "");
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 1);
  const auto json = Figures();
  EXPECT_EQ(json["num_samples"], 60);
  EXPECT_EQ(json["num_classes"], 6);
  EXPECT_EQ(json["num_templates"], 3);
  EXPECT_GE(json["zeroshot_top1"], 0);
  EXPECT_LE(json["zeroshot_top1"], json["zeroshot_top5"]);
  EXPECT_LE(json["zeroshot_top5"], 1);
  EXPECT_GT(json["zeroshot_mean_per_class_recall"], 0);
  EXPECT_TRUE(json["left_out"].empty());
  ASSERT_EQ(ZeroShot({"--json", "--batch", "7", "--threads", "1"}), 0) << errors_;
  EXPECT_EQ(Figures(), json);
  ASSERT_EQ(ZeroShot(), 0) << errors_;
  for (const char* part : {"zero-shot", "chance", "top-5", "60 images", "6 names in 3 templates"}) {
    EXPECT_NE(output_.find(part), std::string::npos) << output_;
  }
}

TEST_F(EvalClasses, ZeroShotCountsAndNamesLabelsOutOfRange) {
  TrainOne();
  Write("classes.txt", "circle\nsquare\ntriangle\nring\n");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  const auto json = Figures();
  const std::int64_t left_out = json["left_out"]["label_out_of_range"];
  EXPECT_GT(left_out, 0);
  EXPECT_EQ(json["num_samples"].get<std::int64_t>() + left_out, 60);
  EXPECT_GE(json["left_out"]["first_out_of_range"]["label"], 4);
  ASSERT_EQ(ZeroShot(), 0) << errors_;
  EXPECT_NE(output_.find("label_out_of_range (record "), std::string::npos) << output_;
}

TEST_F(EvalClasses, CountEqualNamesAsClassesThatTieAndTellOfThem) {
  TrainOne();
  Write("classes.txt", "circle\nsquare\ntriangle\nring\nCircle\ncircle\n");
  ASSERT_EQ(ZeroShot(), 0) << errors_;
  EXPECT_NE(
      output_.find("classes with the same name are counted separately: 'circle' (lines 1, 5, 6)"),
      std::string::npos)
      << output_;
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  EXPECT_EQ(Figures()["num_classes"], 6);
  EXPECT_EQ(Figures()["equal_names"],
            nlohmann::json::parse(R"([{"name": "circle", "lines": [1, 5, 6]}])"));
  // All names one: each class is the first equally often.
  Write("classes.txt", "cross\ncross\ncross\nCross\ncross\ncross\n");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  EXPECT_NEAR(Figures()["zeroshot_top1"].get<double>(), 1.0 / 6, 1e-12);
}

TEST_F(EvalClasses, SayWhatToDoOnOneLineBeforeAnyWork) {
  TrainOne();
  Write("classes.txt", "circle\n\nsquare\n");
  ExpectError(ZeroShot(), 1, "classes.txt:2: blank line");
  Write("classes.txt", "circle\nsquare\n");
  Write("templates.txt", "a photo of a {}.\na photo\n");
  ExpectError(ZeroShot(), 1, "templates.txt:2: 'a photo' has no slot");
  Write("templates.txt", "{}\n");
  Write("no_label.tsv", "path\tlabel\nx.png\t\n");
  std::filesystem::copy_file(folder_ / "templates.txt", folder_ / "x.png");
  shards_ = folder_ / "no_label.tsv";
  EXPECT_EQ(ZeroShot(), 1);  // a warning of the table's, then:
  EXPECT_NE(errors_.find("1 record checked, none can be used: 1 no_label"), std::string::npos)
      << errors_;
  Write("far.tsv", "path\tlabel\nx.png\t2\n");
  shards_ = folder_ / "far.tsv";
  ExpectError(ZeroShot(), 1, "record 0 has label 2, but " + (folder_ / "classes.txt") + " has 2");
  ExpectError(ZeroShot({"--label-key", "class"}), 2, "none is named class");
  ExpectError(Run({"eval", "zeroshot", folder_ / "run", "--shards", "synthetic:4", "--templates",
                   "simple"}),
              2, "--classes is required unless --shards is a folder of classes");
  ExpectError(Run({"eval", "zero"}), 2, "unknown command 'eval zero'; did you mean zeroshot?");
}

/// FOLDER/ring/0.png, … of some records of a synthetic set; the label is the folder's name.
std::string WriteClassFolder(const std::string& folder) {
  const char* const kNames[] = {"circle", "square", "tri_angle", "ring", "cross", "bar"};
  SourceOptions options;
  options.labels = "";
  const auto source = OpenSource("synthetic:60", options);
  const RecordBlock block = source->Read(SampleIndex{0}, 60, {});
  for (const Record& record : block.records) {
    const std::string own = folder + "/" + kNames[record.label];
    std::filesystem::create_directories(own);
    WriteFile(own + fmt::format("/{:03}.png", ToInt(record.index)), AsString(record.image));
  }
  return folder;
}

TEST_F(EvalClasses, TakeAFolderOfClassesAsTheyTakeShards) {
  TrainOne();
  Write("classes.txt", "circle\nsquare\ntri angle\nring\ncross\nbar\n");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  const auto of_shards = Figures();
  shards_ = WriteClassFolder(folder_ / "set");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;  // its folders are found by name
  EXPECT_EQ(Figures()["zeroshot_top1"], of_shards["zeroshot_top1"]);
  EXPECT_EQ(Figures()["zeroshot_mean_per_class_recall"],
            of_shards["zeroshot_mean_per_class_recall"]);
  EXPECT_NE(errors_.find("6 folders, 6 of them named like a class"), std::string::npos) << errors_;

  const std::vector<std::string> words = {
      "eval",  "zeroshot",    folder_ / "run",          "--shards",
      shards_, "--templates", folder_ / "templates.txt"};
  ASSERT_EQ(Run(words), 0) << errors_;  // the names are those of the folders
  EXPECT_NE(output_.find("the folder names: 6 names in 3 templates"), std::string::npos) << output_;
  auto json = words;
  json.push_back("--json");
  ASSERT_EQ(Run(json), 0) << errors_;
  EXPECT_EQ(Figures()["zeroshot_top1"], of_shards["zeroshot_top1"]);

  // Names that say nothing, as ImageNet's: the places count. bar, circle, cross, ring, …
  Write("classes.txt", "v\nw\nx\ny\nz\nzz\n");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  Write("classes.txt", "v\nw\n");
  EXPECT_EQ(ZeroShot(), 1);
  EXPECT_NE(
      errors_.find(
          "no folder has the name of a class (6 folders, the first: 'bar'; number of classes: 2)"),
      std::string::npos)
      << errors_;
  Write("classes.txt", "ring\ncross\n");
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  const auto left_out = Figures()["left_out"];
  std::int64_t unknown = 0;
  for (const auto& count : left_out["unknown_classes"]) unknown += count.get<std::int64_t>();
  EXPECT_GT(unknown, 0);
  EXPECT_EQ(left_out["bad_label"], unknown) << output_;
  ASSERT_EQ(ZeroShot(), 0) << errors_;
  EXPECT_NE(output_.find("'bar', 'circle', 'square', 'tri_angle' are not class names"),
            std::string::npos)
      << output_;

  ASSERT_EQ(Run({"eval", "linear", folder_ / "run", "--train", shards_, "--shards", shards_, "--l2",
                 "0.001", "--json"}),
            0)
      << errors_;
  EXPECT_EQ(Figures()["num_classes"], 6);
  ASSERT_EQ(Run(Train("other", {"train.epochs=1", "eval.zeroshot=" + shards_,
                                "eval.zeroshot_templates=" + (folder_ / "templates.txt")})),
            0)
      << errors_;
  EXPECT_NE(errors_.find("(60 images of 6 classes)"), std::string::npos) << errors_;
}

TEST_F(EvalClasses, FindClassesByTheNamesThatLabelsAre) {
  TrainOne();
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  const auto by_number = Figures();
  const char* const kNames[] = {"circle", "Square", "triangle\n", "ring", "cross", "bar"};
  SourceOptions options;
  options.labels = "";
  const auto source = OpenSource("synthetic:60", options);
  const RecordBlock block = source->Read(SampleIndex{0}, 60, {});
  Members members;
  for (const Record& record : block.records) {
    const std::string key = std::to_string(ToInt(record.index));
    members.emplace_back(key + ".png", AsString(record.image));
    members.emplace_back(key + ".cls", kNames[record.label]);
  }
  shards_ = folder_ / "named.tar";
  WriteShard(shards_, members);
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  EXPECT_EQ(Figures()["zeroshot_top1"], by_number["zeroshot_top1"]);
  ASSERT_EQ(Run({"shards", "lint", shards_}), 0) << output_;
  EXPECT_NE(output_.find("60 healthy"), std::string::npos) << output_;
  ExpectError(Run({"eval", "linear", folder_ / "run", "--train", shards_, "--shards", shards_}), 1,
              "are not class names; set --classes to a file of class names");
  ASSERT_EQ(Run({"eval", "linear", folder_ / "run", "--train", shards_, "--shards", shards_, "--l2",
                 "0.001", "--classes", folder_ / "classes.txt"}),
            0)
      << errors_;
  Write("classes.txt", "disc\nsphere\n");
  ExpectError(ZeroShot(), 1,
              "'Square', 'bar', 'circle', 'cross', 'ring' and 1 more are not class names of " +
                  (folder_ / "classes.txt"));
}

TEST_F(EvalClasses, LinearProbePrintsOneJsonObjectTheSameEachTime) {
  TrainOne();
  ASSERT_EQ(Linear({"--json"}), 0) << errors_;
  EXPECT_EQ(errors_, "");
  const auto json = Figures();
  EXPECT_EQ(json["num_samples"], 60);
  EXPECT_EQ(json["num_train_samples"], 300);
  EXPECT_EQ(json["num_classes"], 6);
  EXPECT_LE(json["linear_top1"], json["linear_top5"]);
  EXPECT_GT(json["held_out_top1"], 0);
  EXPECT_GT(json["l2"], 0);
  ASSERT_EQ(Linear({"--json"}), 0) << errors_;
  EXPECT_EQ(Figures(), json);
  ASSERT_EQ(Linear({"--l2", "0.001"}), 0) << errors_;
  for (const char* part : {"linear probe", "l2 1.0e-03 (given)", "300 images, 6 classes"}) {
    EXPECT_NE(output_.find(part), std::string::npos) << output_;
  }
  ExpectError(Linear({"--l2=-1"}), 2, "--l2 must be a number of at least 0, not '-1'");
  Write("ids.tsv", "path\tlabel\nx.png\t40000\n");
  Write("x.png", "x");
  shards_ = folder_ / "ids.tsv";
  ExpectError(Linear(), 1, "record 0 has label 40000");
}

TEST_F(EvalClasses, TrainingLogsZeroShotWhenItIsDue) {
  const std::vector<std::string> words = {"eval.zeroshot=synthetic:60",
                                          "eval.zeroshot_classes=" + (folder_ / "classes.txt"),
                                          "eval.zeroshot_templates=" + (folder_ / "templates.txt"),
                                          "eval.zeroshot_every_epochs=2", "train.epochs=3"};
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  std::vector<nlohmann::json> lines;
  for (const auto& line : Metrics("run")) {
    if (line["event"] == "zeroshot") lines.push_back(line);
  }
  ASSERT_EQ(lines.size(), 2u);  // after epochs 2 and 3, the last
  EXPECT_EQ(lines[0]["epoch"], 2);
  EXPECT_EQ(lines[1]["images"], 60);
  EXPECT_EQ(lines[1]["classes"], 6);
  EXPECT_NE(errors_.find("epoch 3: zero-shot top-1"), std::string::npos) << errors_;
  ASSERT_EQ(ZeroShot({"--json"}), 0) << errors_;
  EXPECT_EQ(Figures()["zeroshot_top1"], lines[1]["top1"]);
  EXPECT_EQ(Figures()["zeroshot_mean_per_class_recall"], lines[1]["mean_per_class_recall"]);
}

TEST_F(EvalClasses, TrainingWithoutZeroShotIsTheSameToTheBit) {
  ASSERT_EQ(Run(Train("plain", {"train.epochs=2"})), 0) << errors_;
  ASSERT_EQ(Run(Train("watched", {"train.epochs=2", "eval.zeroshot=synthetic:20",
                                  "eval.zeroshot_classes=" + (folder_ / "classes.txt"),
                                  "eval.zeroshot_templates=" + (folder_ / "templates.txt")})),
            0)
      << errors_;
  for (const char* file : {"model.safetensors", "state_0.safetensors"}) {
    EXPECT_TRUE(ReadText(folder_ / (std::string("plain/checkpoints/step_24/") + file)) ==
                ReadText(folder_ / (std::string("watched/checkpoints/step_24/") + file)))
        << file;
  }
}

TEST_F(EvalClasses, TrainingRefusesBadFilesBeforeItStarts) {
  const auto train = [&](const std::string& classes, const std::string& set) {
    return Run(Train("run", {"eval.zeroshot=" + set, "eval.zeroshot_classes=" + classes,
                             "eval.zeroshot_templates=" + (folder_ / "templates.txt")}));
  };
  ExpectError(train("", "synthetic:20"), 2, "eval.zeroshot_classes");
  Write("classes.txt", "circle\n\n");
  ExpectError(
      train(folder_ / "classes.txt", "synthetic:20"), 2,
      "the command line: eval.zeroshot_classes: " + (folder_ / "classes.txt:2: blank line"));
  Write("classes.txt", "circle\nsquare\n");
  ExpectError(train(folder_ / "classes.txt", folder_ / "none.tar"), 2, "eval.zeroshot: ");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/metrics.jsonl"));
}

}  // namespace
}  // namespace fastclip
