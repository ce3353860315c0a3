#include "pipeline/shards/manifest.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"
#include "tests/support/without_root.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

std::string FirstCaption(const RecordSource& source, std::int64_t index) {
  const RecordBlock block = source.Read(SampleIndex{index}, 1, {});
  return block.records[0].skip ? SkipName(*block.records[0].skip)
                               : std::string(block.records[0].captions[0].text);
}

class ManifestTest : public testing::Test {
 protected:
  ManifestTest() {
    fs::create_directory(folder_ / "s");
    for (int i = 0; i < 3; ++i) {
      WriteShard(folder_ / ("s/" + std::to_string(i) + ".tar"),
                 PlainMembers(4 + i, std::string(1, 'a' + i)));
    }
  }
  PartInfo Open(const std::string& list, const SourceOptions& options = {}) const {
    return OpenSourceWithInfo(list, options).parts.front();
  }

  TemporaryFolder folder_;
  const std::string list_ = folder_ / "s/{0..2}.tar";
};

TEST_F(ManifestTest, IsMadeOnFirstUseBesideTheShardsAndUsedAfterwards) {
  const PartInfo first = Open(list_), second = Open(list_);
  EXPECT_EQ(first.walked, 3);
  EXPECT_EQ(second.walked, 0);
  EXPECT_EQ(first.manifest, second.manifest);
  EXPECT_EQ(fs::path(first.manifest).parent_path(), folder_ / "s");
  EXPECT_TRUE(fs::path(first.manifest).filename().string().starts_with("fastclip-0..2.tar-"))
      << first.manifest;
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(second.records, 4 + 5 + 6);
}

TEST_F(ManifestTest, IsTrustedByOtherRanksWithoutALookAtAnyShard) {
  const PartInfo first = Open(list_);
  for (int i = 0; i < 3; ++i) fs::remove(folder_ / ("s/" + std::to_string(i) + ".tar"));
  SourceOptions trusting;
  trusting.trust_manifest = true;
  const PartInfo trusted = Open(list_, trusting);
  EXPECT_EQ(trusted.hash, first.hash);
  EXPECT_EQ(trusted.records, first.records);
  EXPECT_EQ(trusted.walked, 0);
  EXPECT_TRUE(trusted.warnings.empty());
  EXPECT_EQ(FirstCaption(*OpenSource(list_, trusting), 0), "missing");  // it is opened now
  EXPECT_THROW(Open(list_), std::runtime_error);
  EXPECT_THROW(Open(folder_ / "s/{0..3}.tar", trusting), std::runtime_error);  // of other files
}

TEST_F(ManifestTest, HashesNamesOrderAndKeysButNotTheFolderOrTheSpelling) {
  const std::uint64_t hash = Open(list_).hash;
  EXPECT_EQ(Open(folder_ / "s/*.tar").hash, hash);
  EXPECT_NE(Open(folder_ / "s/{2..0}.tar").hash, hash);
  EXPECT_NE(Open(folder_ / "s/{0..1}.tar").hash, hash);
  fs::rename(folder_ / "s", folder_ / "moved");
  const PartInfo moved = Open(folder_ / "moved/{0..2}.tar");
  EXPECT_EQ(moved.hash, hash);
  EXPECT_EQ(moved.walked, 0);
  for (const Members& other : {PlainMembers(9), PlainMembers(5, "x")}) {
    WriteShard(folder_ / "moved/1.tar", other);
    EXPECT_NE(Open(folder_ / "moved/{0..2}.tar", Renewing()).hash, hash);
  }
}

TEST_F(ManifestTest, TellsFoldersOfOneListApart) {
  fs::create_directory(folder_ / "t");
  WriteShard(folder_ / "t/0.tar", PlainMembers(2, "t"));
  const auto source = OpenSource(folder_ / "{s,t}/0.tar");
  EXPECT_EQ(source->size(), 6);
  EXPECT_EQ(FirstCaption(*source, 4), "caption of t1000");
  EXPECT_EQ(Open(folder_ / "{s,t}/0.tar").walked, 0);
}

TEST_F(ManifestTest, WalksOnlyShardsThatChanged) {
  const PartInfo before = Open(list_);
  WriteShard(folder_ / "s/1.tar", Mended(PlainMembers(5, "b")));  // so the hash stays
  fs::last_write_time(folder_ / "s/1.tar",
                      fs::file_time_type::clock::now() + std::chrono::seconds(5));
  const OpenedSource after = OpenSourceWithInfo(list_);
  EXPECT_EQ(after.parts[0].walked, 1);
  EXPECT_EQ(after.parts[0].hash, before.hash);
  EXPECT_EQ(FirstCaption(*after.source, 4), "mended caption of b1000");
  EXPECT_EQ(Open(list_).walked, 0);
}

TEST_F(ManifestTest, RefusesAShardThatHoldsOtherRecordsThanItKnows) {
  const std::uint64_t first = Open(list_).hash;
  std::uint64_t before = first;
  for (const auto& [keys, change] :
       {std::pair("x", "5 records then, 6 now"), {"y", "still 6 records, but different ones"}}) {
    WriteShard(folder_ / "s/1.tar", PlainMembers(6, keys));
    for (int again = 0; again < 2; ++again) {
      const std::string error = ErrorOf([&] { Open(list_); });
      EXPECT_NE(error.find(std::string("s/1.tar: changed since it was indexed (") + change),
                std::string::npos)
          << error;
    }
    EXPECT_EQ(Open(list_, Renewing()).records, 4 + 6 + 6);
    const PartInfo now = Open(list_);
    EXPECT_EQ(now.records, 4 + 6 + 6);
    EXPECT_NE(now.hash, before);
    before = now.hash;
  }
  WriteShard(folder_ / "s/1.tar", PlainMembers(5, "b"));
  EXPECT_EQ(Open(list_, Renewing()).hash, first);
}

TEST_F(ManifestTest, TakesOverWhatItKnowsWhenAGlobGrows) {
  Open(folder_ / "s/*.tar");
  WriteShard(folder_ / "s/3.tar", PlainMembers(2));
  const PartInfo grown = Open(folder_ / "s/*.tar");
  EXPECT_EQ(grown.walked, 1);
  EXPECT_EQ(grown.records, 4 + 5 + 6 + 2);
}

TEST_F(ManifestTest, RefusesAMissingShardThatItNeverSawAndSkipsOneThatItKnows) {
  const std::string error = ErrorOf([&] { Open(folder_ / "s/{0..5}.tar"); });
  EXPECT_NE(error.find("3 of 6 files missing"), std::string::npos) << error;
  EXPECT_NE(error.find("3.tar and 2 more"), std::string::npos) << error;
  const std::uint64_t hash = Open(list_).hash;
  fs::remove(folder_ / "s/1.tar");
  const OpenedSource opened = OpenSourceWithInfo(list_);
  EXPECT_EQ(opened.parts[0].hash, hash);
  EXPECT_EQ(FirstCaption(*opened.source, 4), "missing");
  EXPECT_EQ(FirstCaption(*opened.source, 9), "caption of c1000");
  EXPECT_NE(opened.parts[0].warnings.at(0).find("5 records will be skipped"), std::string::npos);
  fs::remove(folder_ / "s/0.tar");
  fs::remove(folder_ / "s/2.tar");
  EXPECT_NE(ErrorOf([&] { Open(list_); }).find("check that the disk is mounted"),
            std::string::npos);
}

TEST_F(ManifestTest, IsMadeAgainWhereItIsDamaged) {
  const PartInfo good = Open(list_);
  const std::string bytes = ReadFile(good.manifest);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    WriteFile(good.manifest, damaged);
    const OpenedSource opened = OpenSourceWithInfo(list_);
    ASSERT_EQ(opened.parts[0].hash, good.hash) << i;
    ASSERT_EQ(opened.source->size(), 15) << i;
    for (const int index : {0, 4, 9, 14}) {
      ASSERT_EQ(FirstCaption(*opened.source, index).substr(0, 11), "caption of ") << i;
    }
  }
  for (std::size_t size = 0; size < bytes.size(); size += 17) {
    WriteFile(good.manifest, std::string_view(bytes).substr(0, size));
    ASSERT_EQ(Open(list_).hash, good.hash) << size;
  }
}

TEST_F(ManifestTest, GoesWhereItIsToldTo) {
  SourceOptions options;
  options.manifest = folder_ / "mine.manifest";
  EXPECT_EQ(Open(list_, options).manifest, folder_ / "mine.manifest");
  EXPECT_EQ(Open(list_, options).walked, 0);
  const OpenedSource two =
      OpenSourceWithInfo(list_ + "::synthetic:2::" + (folder_ / "s/0.tar"), options);
  EXPECT_EQ(two.parts[0].manifest, folder_ / "mine.manifest.0");
  EXPECT_EQ(two.parts[2].manifest, folder_ / "mine.manifest.2");
  options.manifest = folder_ / "no/such/folder.manifest";
  EXPECT_NE(ErrorOf([&] { Open(list_, options); }).find("no/such/folder.manifest"),
            std::string::npos);
}

TEST_F(ManifestTest, FallsBackWhereTheShardsFolderCannotBeWritten) {
  fs::create_directory(folder_ / "run");
  fs::permissions(folder_ / "run", fs::perms::all);
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "s", fs::perms{0555});
  {
    const WithoutRoot unprivileged;
    SourceOptions options;
    options.manifest_fallback_dir = folder_ / "run";
    EXPECT_EQ(fs::path(Open(list_, options).manifest).parent_path(), folder_ / "run");
    EXPECT_EQ(Open(list_, options).walked, 0);
    const OpenedSource nowhere = OpenSourceWithInfo(list_);
    EXPECT_EQ(nowhere.parts[0].manifest, "");
    EXPECT_NE(nowhere.parts[0].notes.at(0).find("the manifest cannot be saved"), std::string::npos);
    EXPECT_EQ(FirstCaption(*nowhere.source, 14), "caption of c1005");
  }
  fs::permissions(folder_ / "s", fs::perms{0755});
}

TEST_F(ManifestTest, SaysWhichShardMayNotBeRead) {
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "s/1.tar", fs::perms::none);
  const WithoutRoot unprivileged;
  EXPECT_NE(ErrorOf([&] { Open(list_); }).find("1.tar: Permission denied"), std::string::npos);
}

TEST_F(ManifestTest, NeverReplacesAFileThatIsNoManifest) {
  SourceOptions options;
  WriteFile(folder_ / "pairs.tsv", "filepath\tcaption\na.jpg\tone\n");
  fs::create_symlink("pairs.tsv", folder_ / "link");
  for (const char* name : {"pairs.tsv", "s/1.tar", "link"}) {
    options.manifest = folder_ / name;
    const std::string before = ReadFile(options.manifest);
    const std::string error = ErrorOf([&] { Open(list_, options); });
    EXPECT_NE(error.find("exists and is not a manifest; use another file"), std::string::npos)
        << error;
    EXPECT_EQ(ReadFile(options.manifest), before) << name;
  }
  // A damaged one is still ours to make again.
  options.manifest = folder_ / "mine.manifest";
  const std::uint64_t hash = Open(list_, options).hash;
  fs::resize_file(options.manifest, 50);
  EXPECT_EQ(Open(list_, options).hash, hash);
  // So is one of the first format, which had all in one file.
  WriteFile(options.manifest, "FCLIPMF1" + std::string(200, '\0'));
  EXPECT_EQ(Open(list_, options).hash, hash);
}

TEST(WarningLines, AreFewHoweverManyWarningsThereAre) {
  std::vector<PartInfo> parts(20);
  for (PartInfo& part : parts) {
    part.part = "a.tar";
    part.warnings = {"cut short", "damaged inside"};
  }
  const auto lines = WarningLines(parts);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], "a.tar: cut short");
  EXPECT_NE(lines.back().find("34 more"), std::string::npos) << lines.back();
  EXPECT_TRUE(WarningLines({PartInfo{}}).empty());
}

}  // namespace
}  // namespace fastclip
