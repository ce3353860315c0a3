#include <ATen/ATen.h>

#include <map>

#include "pipeline/records/record_source.h"
#include "pipeline/shards/tar_writer.h"
#include "pipeline/sources/open_source.h"
#include "tests/trainer/training_fixture.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

/// The integer of a record: neither dense nor in order.
std::int64_t KeyOf(std::int64_t index) { return 1000 - 3 * index; }

class Estimators : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    WriteShard("a.tar", 0, 120);
    WriteShard("b.tar", 120, 200);
    list_ = (folder_ / "a.tar") + "::" + (folder_ / "b.tar");
  }

  void WriteShard(const std::string& name, std::int64_t first, std::int64_t last) {
    const auto source = OpenSource("synthetic:200");
    const RecordBlock block =
        source->Read(SampleIndex{first}, static_cast<int>(last - first), std::stop_token());
    TarWriter writer(folder_ / name);
    for (const Record& record : block.records) {
      const std::string key = std::to_string(10'000 + ToInt(record.index));
      const std::string json =
          R"({"key": ")" + std::to_string(KeyOf(ToInt(record.index))) + R"("})";
      writer.Add(key + ".png", record.image);
      writer.Add(key + ".txt", std::as_bytes(std::span(record.captions[0].text)));
      writer.Add(key + ".json", std::as_bytes(std::span(json)));
    }
    writer.Close();
  }

  std::vector<std::string> TrainOnShards(const std::string& run,
                                         std::vector<std::string> words = {}) {
    words.insert(words.begin(),
                 {"data.train=" + list_, "data.index_by=json.key", "train.epochs=1"});
    return Train(run, words);
  }

  std::map<std::string, at::Tensor> Tensors(const std::string& name) {
    std::map<std::string, at::Tensor> tensors;
    for (const auto& [key, tensor] : ReadSafetensors(folder_ / name).tensors) tensors[key] = tensor;
    return tensors;
  }

  void Export(const std::string& run, const std::string& out, std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"estimators", "export", folder_ / run, "--out", folder_ / out});
    ASSERT_EQ(Run(words), 0) << errors_;
  }

  std::string list_;
};

TEST_F(Estimators, AreExportedUnderTheirIntegers) {
  ASSERT_EQ(Run(TrainOnShards("run")), 0) << errors_;
  Export("run", "by_key.safetensors");
  EXPECT_NE(output_.find(": estimators of 200 records, keyed by json.key"), std::string::npos);
  Export("run", "by_index.safetensors", {"--index-by", "index"});
  auto by_key = Tensors("by_key.safetensors"), by_index = Tensors("by_index.safetensors");
  ASSERT_EQ(by_key["u_im"].sizes(), (std::vector<std::int64_t>{1001, 1}));
  ASSERT_EQ(by_index["u_im"].sizes(), (std::vector<std::int64_t>{200, 1}));
  int seen = 0;
  for (const char* name : {"u_im", "u_tt"}) {
    for (std::int64_t i = 0; i < 200; ++i) {
      const float u = by_index[name][i].item<float>();
      EXPECT_EQ(by_key[name][KeyOf(i)].item<float>(), u);
      seen += u > 0;
    }
    EXPECT_EQ(by_key[name].count_nonzero().item<std::int64_t>(),
              by_index[name].count_nonzero().item<std::int64_t>());
  }
  EXPECT_GE(seen, 2 * 190);
}

// Estimators of the same run, taken by key in one order of the shards and by place: the same steps.
TEST_F(Estimators, AreImportedByTheirIntegersOnAnyRanks) {
  ASSERT_EQ(Run(TrainOnShards("run")), 0) << errors_;
  Export("run", "u.safetensors");
  const std::string weights = folder_ / "run/checkpoints/step_12/model.safetensors";
  const auto losses = [&](const std::string& run) {
    std::vector<double> all;
    for (const auto& line : Metrics(run)) all.push_back(line["loss"].get<double>());
    return all;
  };
  ASSERT_EQ(Run(TrainOnShards("init", {"train.init=" + (folder_ / "run"), "gamma.start=0.5"})), 0)
      << errors_;
  const auto expected = losses("init");
  for (const std::string ranks : {"1", "2"}) {
    ASSERT_EQ(
        Run(TrainOnShards("import" + ranks, {"gamma.start=0.5", "model.pretrained=" + weights,
                                             "train.init_estimators=" + (folder_ / "u.safetensors"),
                                             "--ranks", ranks})),
        0)
        << errors_;
    EXPECT_NE((errors_ + output_).find("records from"), std::string::npos) << errors_ << output_;
    const auto imported = losses("import" + ranks);
    ASSERT_EQ(imported.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(imported[i], expected[i], 1e-4);
  }
  ASSERT_EQ(Run(TrainOnShards("anew", {"gamma.start=0.5", "model.pretrained=" + weights})), 0)
      << errors_;
  EXPECT_GT(std::abs(losses("anew")[3] - expected[3]), 1e-3);
}

TEST_F(Estimators, HaveIntegersThatAreReadBeforehand) {
  ASSERT_EQ(Run({"shards", "index", list_, "--index-by", "json.key"}), 0) << errors_;
  EXPECT_NE(errors_.find("json.key: 200 records, largest value 1000; 0 without a value"),
            std::string::npos)
      << errors_;
  EXPECT_EQ(Run({"shards", "index", list_, "--index-by", "json.uid"}), 1);
  EXPECT_NE(errors_.find("no record has an integer >= 0"), std::string::npos) << errors_;
}

TEST_F(Estimators, AreShown) {
  ASSERT_EQ(Run(TrainOnShards("run")), 0) << errors_;
  ASSERT_EQ(Run({"estimators", "show", folder_ / "run", "1000", "403"}), 0) << errors_;
  EXPECT_NE(output_.find("json.key 1000: record 0, byte 0 of " + (folder_ / "a.tar")),
            std::string::npos)
      << output_;
  EXPECT_NE(output_.find("json.key 403: record 199, byte "), std::string::npos) << output_;
  EXPECT_NE(output_.find("u_im"), std::string::npos);
  EXPECT_EQ(Run({"estimators", "show", folder_ / "run", "999"}), 1);
  EXPECT_NE(errors_.find("no record has json.key 999"), std::string::npos) << errors_;
}

TEST_F(Estimators, AreRefusedWhereTheyCannotBeMeant) {
  const auto expect = [&](int code, std::vector<std::string> words, const std::string& what) {
    EXPECT_EQ(Run(TrainOnShards("bad", words)), code);
    EXPECT_NE(errors_.find(what), std::string::npos) << errors_;
  };
  expect(2, {"train.init_estimators=u", "objective.name=openclip"},
         "objective openclip has no estimators");
  expect(2, {"data.index_by=key"}, "'key' is not of the form json.NAME");
  expect(1, {"train.init_estimators=" + (folder_ / "absent")}, "absent");
  const std::string file = folder_ / "short.safetensors";
  WriteSafetensors(file, {{"u_im", at::ones({200})}, {"u_tt", at::ones({200})}});
  expect(1, {"train.init_estimators=" + file}, "has 200 rows, but record 0 has the key 1000");
  list_ += "::" + (folder_ / "copy/b.tar");
  std::filesystem::create_directories(folder_ / "copy");
  std::filesystem::copy_file(folder_ / "b.tar", folder_ / "copy/b.tar");
  expect(1, {"train.init_estimators=" + file}, "they would share an estimator");
}

}  // namespace
}  // namespace fastclip
