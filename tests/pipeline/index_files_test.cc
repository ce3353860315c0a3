#include "pipeline/shards/index_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/shards/shard_list.h"
#include "tests/pipeline/letter_files.h"
#include "tests/support/error_of.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class IndexFilesTest : public LetterFiles {
 protected:
  IndexFilesTest() {
    Write("0", "abc");
    Write("1", "defgh");
    Write("2", "ij");
  }
  IndexedFiles IndexAll(const SourceOptions& options = {}) {
    return Index({"0", "1", "2"}, options);
  }
  std::vector<std::string> FilesThere() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
      names.push_back(entry.path().lexically_relative(folder_.path()));
    std::ranges::sort(names);
    return names;
  }
  static std::vector<std::int64_t> Counts(const IndexedFiles& files) {
    std::vector<std::int64_t> counts;
    for (const ManifestEntry& entry : files.manifest.entries()) counts.push_back(entry.count);
    return counts;
  }
};

TEST_F(IndexFilesTest, ScansEachFileOnce) {
  const IndexedFiles first = IndexAll();
  EXPECT_EQ(first.walked, 3);
  EXPECT_EQ(scans_, 3);
  EXPECT_EQ(Counts(first), (std::vector<std::int64_t>{3, 5, 2}));
  EXPECT_EQ(first.paths, (std::vector<std::string>{Path("0"), Path("1"), Path("2")}));
  for (const char* name : {"0", "1", "2"}) EXPECT_TRUE(fs::exists(SidecarOf(name))) << name;
  EXPECT_EQ(first.manifest.entries()[1].name, "1");
  EXPECT_EQ(first.manifest.entries()[1].stamp, StampOf("1"));

  const IndexedFiles second = IndexAll();
  EXPECT_EQ(second.walked, 0);
  EXPECT_EQ(scans_, 3);
  EXPECT_EQ(Counts(second), Counts(first));
  EXPECT_EQ(second.manifest.hash(), first.manifest.hash());
  EXPECT_EQ(second.manifest_path, first.manifest_path);
  EXPECT_TRUE(second.warnings.empty() && second.notes.empty());
}

TEST_F(IndexFilesTest, TakesWhatAnotherListHasScannedFromItsSidecars) {
  Index({"1", "2"});
  EXPECT_EQ(IndexAll().walked, 1);
  EXPECT_EQ(scans_, 3);
}

TEST_F(IndexFilesTest, ScansAChangedFileAlone) {
  const std::uint64_t hash = IndexAll().manifest.hash();
  Write("1", "DEFGH");  // the same keys
  const IndexedFiles changed = IndexAll();
  EXPECT_EQ(changed.walked, 1);
  EXPECT_EQ(scans_, 4);
  EXPECT_EQ(changed.manifest.hash(), hash);
  EXPECT_EQ(changed.manifest.entries()[1].stamp, StampOf("1"));
  EXPECT_EQ(IndexAll().walked, 0);
}

TEST_F(IndexFilesTest, RefusesOtherRecordsUnlessTheyAreAccepted) {
  const std::uint64_t hash = IndexAll().manifest.hash();
  Write("1", "defghk");
  for (int again = 0; again < 2; ++again) {
    const std::string error = ErrorOf([&] { IndexAll(); });
    EXPECT_NE(error.find(Path("1") + ": changed since it was indexed (5 records then, 6 now)"),
              std::string::npos)
        << error;
    EXPECT_NE(error.find("shards index '0+1+2'"), std::string::npos) << error;
  }
  const IndexedFiles renewed = IndexAll(Renewing());
  EXPECT_EQ(Counts(renewed), (std::vector<std::int64_t>{3, 6, 2}));
  EXPECT_NE(renewed.manifest.hash(), hash);
}

TEST_F(IndexFilesTest, KeepsTheEntryOfAFileThatIsMissing) {
  const std::uint64_t hash = IndexAll().manifest.hash();
  fs::remove(Path("1"));
  const IndexedFiles files = IndexAll();
  EXPECT_EQ(files.walked, 0);
  EXPECT_EQ(Counts(files), (std::vector<std::int64_t>{3, 5, 2}));
  EXPECT_EQ(files.manifest.hash(), hash);
  ASSERT_EQ(files.warnings.size(), 1u);
  EXPECT_EQ(files.warnings[0],
            "missing since the list was indexed: " + Path("1") + "; 5 records will be skipped");
  for (const char* name : {"0", "2"}) fs::remove(Path(name));
  const std::string error = ErrorOf([&] { IndexAll(); });
  EXPECT_NE(error.find("all indexed files are missing (3 files)"), std::string::npos) << error;
}

TEST_F(IndexFilesTest, RefusesAMissingFileThatItNeverSaw) {
  IndexAll();
  const auto error = [&](std::initializer_list<const char*> names) {
    return ErrorOf([&] { Index(names); });
  };
  EXPECT_NE(error({"0", "3", "4"}).find("2 of 3 files missing: " + Path("3") + " and 1 more"),
            std::string::npos);
  EXPECT_NE(error({"3"}).find("'" + Path("3") + "' in '3': no such file"), std::string::npos)
      << error({"3"});
}

TEST_F(IndexFilesTest, TrustsAManifestOfTheSameFilesWithoutALook) {
  const std::uint64_t hash = IndexAll().manifest.hash();
  SourceOptions trusting;
  trusting.trust_manifest = true;
  Write("1", "other records");
  fs::remove(Path("2"));
  const IndexedFiles files = IndexAll(trusting);
  EXPECT_EQ(files.manifest.hash(), hash);
  EXPECT_EQ(scans_, 3);
  EXPECT_TRUE(files.warnings.empty());
  // Of checksums it knows nothing: the files are looked at.
  trusting.add_checksums = true;
  EXPECT_NE(ErrorOf([&] { IndexAll(trusting); }).find("changed since it was indexed"),
            std::string::npos);
  // Nor of another list.
  EXPECT_NE(ErrorOf([&] {
              Index({"0", "3"}, trusting);
            }).find("1 of 2 files missing"),
            std::string::npos);
}

TEST_F(IndexFilesTest, WithoutIndexingWritesNothing) {
  const std::vector<std::string> before = FilesThere();
  for (int again = 0; again < 2; ++again) {
    const WithoutIndexing reading_only;
    EXPECT_TRUE(WithoutIndexing::active());
    const IndexedFiles files = IndexAll();
    EXPECT_EQ(files.walked, 3);
    EXPECT_EQ(files.manifest_path, "");
    EXPECT_TRUE(files.notes.empty());
    // What was scanned serves this run alone.
    const RecordPlaces places(files, false);
    EXPECT_EQ(places.Open(1)->facts().count, 5);
    EXPECT_EQ(FilesThere(), before);
  }
  EXPECT_EQ(scans_, 6);
  EXPECT_FALSE(WithoutIndexing::active());
  IndexAll();
  const std::vector<std::string> indexed = FilesThere();
  EXPECT_EQ(indexed.size(), before.size() + 4) << "three sidecars and a manifest";
  const WithoutIndexing reading_only;
  std::jthread([] { EXPECT_FALSE(WithoutIndexing::active()) << "it is of its thread"; });
  Write("1", "DEFGH");
  EXPECT_EQ(IndexAll().walked, 1);
  EXPECT_EQ(FilesThere(), indexed);
}

TEST_F(IndexFilesTest, TellsFilesOfOneNameInTwoFoldersApart) {
  for (const char* folder : {"a", "b"}) fs::create_directory(Path(folder));
  Write("a/0", "xyz");
  Write("b/0", "uvwxyz");
  SourceOptions elsewhere;  // there all sidecars lie in one folder
  elsewhere.manifest = folder_ / "my.manifest";
  for (const int scans : {2, 0}) {
    const IndexedFiles files = Index({"a/0", "b/0"}, elsewhere);
    EXPECT_EQ(files.walked, scans);
    EXPECT_EQ(Counts(files), (std::vector<std::int64_t>{3, 6}));
    EXPECT_EQ(files.manifest.entries()[0].name, "a/0");
    EXPECT_EQ(files.manifest.entries()[1].name, "b/0");
    const RecordPlaces places(files, false);
    EXPECT_EQ(places.Open(0)->facts().count, 3);
    EXPECT_EQ(places.Open(1)->facts().count, 6);
  }
  EXPECT_FALSE(fs::exists(SidecarOf("a/0")));
  // One file has one entry: a list that names it twice is refused before.
  EXPECT_NE(ErrorOf([&] { ExpandPart(Path("{0,1,0}")); }).find("is listed twice"),
            std::string::npos);
}

TEST_F(IndexFilesTest, NeverReplacesAFileThatIsNoManifest) {
  SourceOptions options;
  options.manifest = Path("2");
  EXPECT_NE(ErrorOf([&] { IndexAll(options); }).find("exists and is not a manifest"),
            std::string::npos);
  EXPECT_EQ(ReadFile(Path("2")), "ij");
  EXPECT_EQ(scans_, 0);
}

}  // namespace
}  // namespace fastclip
