#include "trainer/run/run_data.h"

#include <gtest/gtest.h>

#include "tests/support/paths.h"

namespace fastclip {
namespace {

ListedFile File(const std::string& folder, int part, std::uint64_t hash) {
  return {.name = "00000.tar",
          .path = folder + "/00000.tar",
          .records = 10,
          .content_hash = hash,
          .part = part};
}

TEST(RunData, NamesTheFileThatChangedAmongThoseOfOneName) {
  const TemporaryFolder run;
  WriteRunData(run.path(), 1, {File("/a", 0, 7), File("/b", 1, 8)});
  EXPECT_EQ(DescribeDataChange(run.path(), {File("/a", 0, 7), File("/b", 1, 9)}),
            "/b/00000.tar has different records");
  EXPECT_EQ(DescribeDataChange(run.path(), {File("/a", 0, 7)}),
            "/b/00000.tar is no longer in the list");
}

TEST(RunData, TellsARenamedFileFromANewOne) {
  const TemporaryFolder run;
  ListedFile other = File("/a", 0, 7);
  WriteRunData(run.path(), 1, {other, File("/b", 1, 8)});
  other.name = "x.tar";
  other.path = "/a/x.tar";
  EXPECT_EQ(DescribeDataChange(run.path(), {other, File("/b", 1, 8)}),
            "/a/00000.tar is /a/x.tar now, with the same records (a file's name is part of the "
            "hash, its folder is not: give it its old name)");
  other.content_hash = 9;
  EXPECT_EQ(DescribeDataChange(run.path(), {other, File("/b", 1, 8)}),
            "/a/00000.tar is no longer in the list, and 1 more file differs");
}

TEST(RunData, ComparesNamesWhereAllFilesLieElsewhereNow) {
  const TemporaryFolder run;
  WriteRunData(run.path(), 1, {File("/a", 0, 7), File("/b", 1, 8)});
  EXPECT_EQ(DescribeDataChange(run.path(), {File("/x/a", 0, 7), File("/x/b", 1, 9)}),
            "/x/b/00000.tar has different records");
}

}  // namespace
}  // namespace fastclip
