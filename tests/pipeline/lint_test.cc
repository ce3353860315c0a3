#include "pipeline/convert/lint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

std::vector<BadRecord> BadOf(const RecordSource& source, int threads,
                             LintReport* report = nullptr) {
  std::vector<BadRecord> bad;
  const LintReport found =
      Lint(source, {}, threads, [&](const BadRecord& record) { bad.push_back(record); });
  if (report != nullptr) *report = found;
  return bad;
}

TEST(Lint, NamesInOrderWhatTrainingWouldPassOver) {
  FakeSource source(200);
  source.bad[3] = Skip::kNoCaption;
  source.bad[150] = Skip::kMissing;
  source.damaged[40] = true;
  for (const int threads : {1, 4}) {
    LintReport report;
    const std::vector<BadRecord> bad = BadOf(source, threads, &report);
    ASSERT_EQ(bad.size(), 3u);
    EXPECT_EQ(ToInt(bad[0].index), 3);
    EXPECT_EQ(bad[0].cause, Skip::kNoCaption);
    EXPECT_EQ(ToInt(bad[1].index), 40);
    EXPECT_EQ(bad[1].cause, Skip::kTruncated);
    EXPECT_EQ(ToInt(bad[2].index), 150);
    EXPECT_EQ(report.records, 200);
    EXPECT_EQ(report.healthy, 197);
    EXPECT_EQ(report.bad[Skip::kMissing], 1);
  }
}

TEST(Lint, TellsWhereARecordLies) {
  const TemporaryFolder folder;
  for (int shard = 0; shard < 2; ++shard) {
    Members members;
    for (int i = 0; i < 5; ++i) {
      const std::string key = std::to_string(10 * shard + i);
      std::string image = AsString(PngOf(i));
      if (shard == 1 && i == 3) image = "<html>404</html>";
      members.emplace_back(key + ".png", image);
      members.emplace_back(key + ".txt", "picture " + key);
    }
    WriteShard(folder / std::to_string(shard) + ".tar", members);
  }
  // Through a list of two, so that places are counted on.
  const auto source = OpenSource(folder / "0.tar" + "::" + (folder / "1.tar"));
  const std::vector<BadRecord> bad = BadOf(*source, 2);
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(ToInt(bad[0].index), 8);
  EXPECT_EQ(bad[0].key, "13");
  EXPECT_EQ(bad[0].cause, Skip::kUndecodable);
  EXPECT_EQ(bad[0].origin.file, folder / "1.tar");
  std::ifstream file(bad[0].origin.file, std::ios::binary);
  file.seekg(bad[0].origin.offset);
  std::string name(6, '\0');
  file.read(name.data(), 6);
  EXPECT_EQ(name, "13.png") << "the record's first header";
}

}  // namespace
}  // namespace fastclip
