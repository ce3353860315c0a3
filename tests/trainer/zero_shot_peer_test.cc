#include <cstdlib>

#include "pipeline/convert/convert.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/open_source.h"
#include "tests/support/peers.h"
#include "tests/trainer/training_fixture.h"

// OpenCLIP's zero-shot classification of the same pictures with the same weights counts the same
// hits.

namespace fastclip {
namespace {

class ZeroShotPeer : public Training {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
};

TEST_F(ZeroShotPeer, OpenClipCountsTheSameHits) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no peers' environment: tools/peers.sh makes it";
  Write("classes.txt", "circle\nsquare\ntriangle\nring\ncross\nbar\n");
  Write("templates.txt", "a red {} on a blue ground, on the left\na photo of the {}.\n{}\n");
  ConvertOptions convert;
  convert.encoding = Encoding::kPng;
  ConvertFolder folder(folder_ / "shards");
  Convert(*OpenSource("synthetic:300"), folder, convert);
  ASSERT_EQ(Run(Train("run", {"train.epochs=10", "learning_rate.lr=3e-3"})), 0) << errors_;

  ASSERT_EQ(
      Run({"eval", "zeroshot", folder_ / "run", "--shards", folder_ / "shards/*.tar", "--classes",
           folder_ / "classes.txt", "--templates", folder_ / "templates.txt", "--json"}),
      0)
      << errors_;
  const auto ours = nlohmann::json::parse(output_);
  const std::string command =
      python + " tools/peers/zero_shot.py '" + ours["model"].get<std::string>() + "' '" +
      folder_ / "model.toml" + "' '" + folder_ / "shards/*.tar" + "' '" + folder_ / "classes.txt" +
      "' '" + folder_ / "templates.txt" + "' > '" + folder_ / "theirs.json" + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const auto theirs = nlohmann::json::parse(ReadText(folder_ / "theirs.json"));
  EXPECT_EQ(ours["num_samples"], 300);
  EXPECT_EQ(theirs["num_samples"], 300);
  for (const char* figure : {"zeroshot_top1", "zeroshot_top5"}) {
    EXPECT_NEAR(ours[figure].get<double>(), theirs[figure].get<double>(), 1e-9) << figure;
  }
  EXPECT_GT(ours["zeroshot_top1"], 0.17);  // a sixth is chance
}

}  // namespace
}  // namespace fastclip
