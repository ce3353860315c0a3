#include "pipeline/files/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <filesystem>
#include <limits>
#include <map>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/memory_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

std::string Gzipped(const std::string& path, const std::string& text) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  return ReadFile(path);
}

/// One set of shards and tables, on the disk and in memory.
class FileSystemTest : public testing::Test {
 protected:
  FileSystemTest() {
    WriteShard(folder_ / "0.tar", PlainMembers(20, "a"));
    WriteShard(folder_ / "1.tar", PlainMembers(30, "b"));
    WriteFile(folder_ / "one.jpg", "picture one");
    WriteFile(folder_ / "two.jpg", "picture two");
    const std::string rows =
        "filepath\tcaption\none.jpg\t\"a cat,\nsitting\"\ntwo.jpg\ta dog\nno.jpg\tgone\n";
    WriteFile(folder_ / "t.tsv", rows);
    Gzipped(folder_ / "z.tsv.gz", rows);
    WriteFile(folder_ / "t.jsonl", "{\"filepath\":\"one.jpg\",\"caption\":\"a cat\"}\n[]\n");
    for (const char* name :
         {"0.tar", "1.tar", "one.jpg", "two.jpg", "t.tsv", "z.tsv.gz", "t.jsonl"}) {
      memory_.files["mem://d/" + std::string(name)] = {.bytes = ReadFile(folder_ / name)};
    }
    options_.manifest_fallback_dir = folder_ / "index";
    std::filesystem::create_directory(options_.manifest_fallback_dir);
  }

  Lines OnDisk(const std::string& list) const {
    return Summary(ReadAll(*OpenSource(folder_ / list)));
  }
  Lines InMemory(const std::string& list) const {
    return Summary(ReadAll(*OpenSource("mem://d/" + list, options_)));
  }
  /// All lists give the same records as on the disk.
  void ExpectSame() const {
    for (const char* list : {"{0,1}.tar", "t.tsv", "z.tsv.gz", "t.jsonl"}) {
      EXPECT_EQ(InMemory(list), OnDisk(list)) << list;
    }
  }

  const TemporaryFolder folder_;
  MemoryFiles memory_;
  const AddedFileSystem added_{"mem", memory_};
  SourceOptions options_;
};

TEST_F(FileSystemTest, SourcesOfAnotherFileSystemGiveTheRecordsOfTheDisk) { ExpectSame(); }

TEST_F(FileSystemTest, ShortReadsChangeNothing) {
  for (const std::size_t most : {1, 7, 511}) {
    memory_.faults.most_at_once = most;
    ExpectSame();
  }
}

TEST_F(FileSystemTest, FailuresThatPassChangeNothing) {
  memory_.faults.fails_every = 2;
  for (const int error : {EINTR, EIO, ETIMEDOUT}) {
    memory_.faults.error = error;
    memory_.reads = memory_.failed = 0;
    EXPECT_EQ(InMemory("{0,1}.tar"), OnDisk("{0,1}.tar")) << error;
    EXPECT_GT(memory_.failed, 0);
  }
}

TEST_F(FileSystemTest, FailuresThatStayNameTheFileAndTheOffset) {
  const auto source = OpenSource("mem://d/{0,1}.tar", options_);
  memory_.faults.fails_every = 1;
  const std::string error = ErrorOf([&] { ReadAll(*source); });
  EXPECT_NE(error.find("mem://d/0.tar: reading "), std::string::npos) << error;
  EXPECT_NE(error.find(" at offset 0 failed: Input/output error"), std::string::npos) << error;
}

TEST_F(FileSystemTest, AnIndexIsKeptAndFound) {
  const std::size_t lines = InMemory("{0,1}.tar").size();
  const auto opened = OpenSourceWithInfo("mem://d/{0,1}.tar", options_);
  EXPECT_EQ(opened.parts[0].walked, 0);
  EXPECT_EQ(opened.source->size(), std::ssize(Lines(lines)));
  EXPECT_TRUE(opened.parts[0].manifest.starts_with(options_.manifest_fallback_dir));
}

TEST_F(FileSystemTest, AShardOfOtherRecordsIsRefusedByName) {
  const auto source = OpenSource("mem://d/{0,1}.tar", options_);
  WriteShard(folder_ / "2.tar", PlainMembers(7, "c"));
  memory_.files["mem://d/1.tar"] = {.bytes = ReadFile(folder_ / "2.tar"), .time = 2};
  const std::string error = ErrorOf([&] { ReadAll(*source); });
  EXPECT_NE(error.find("mem://d/1.tar: changed since it was indexed (30 records then, 7 now)"),
            std::string::npos)
      << error;
}

TEST_F(FileSystemTest, ACopyWithAnotherTimeIsTheSameData) {
  const auto source = OpenSource("mem://d/{0,1}.tar", options_);
  memory_.files["mem://d/1.tar"].time = 2;
  EXPECT_EQ(Summary(ReadAll(*source)), OnDisk("{0,1}.tar"));
}

TEST_F(FileSystemTest, WhatIsCutWhileItIsReadIsTruncated) {
  const auto source = OpenSource("mem://d/0.tar", options_);
  const Lines whole = OnDisk("0.tar");
  memory_.faults.cut_at = 20'000;  // the stamp does not tell
  const Lines cut = Summary(ReadAll(*source));
  ASSERT_EQ(cut.size(), whole.size());
  EXPECT_EQ(cut.front(), whole.front());
  EXPECT_TRUE(cut.back().ends_with("|truncated")) << cut.back();
}

TEST_F(FileSystemTest, AFileThatIsGoneIsMissing) {
  const auto source = OpenSource("mem://d/{0,1}.tar", options_);
  memory_.files.erase("mem://d/1.tar");
  EXPECT_TRUE(Summary(ReadAll(*source)).back().ends_with("|missing"));
}

TEST_F(FileSystemTest, ASizeThatCannotBeIsRefused) {
  for (const std::int64_t size :
       {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max() - 511,
        std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    memory_.faults.claimed_size = size;
    for (const char* list : {"0.tar", "t.tsv", "z.tsv.gz", "t.jsonl"}) {
      EXPECT_NE(ErrorOf([&] {
                  OpenSource("mem://d/" + std::string(list), options_);
                }).find("is not a valid file size"),
                std::string::npos)
          << list << " " << size;
    }
  }
}

TEST_F(FileSystemTest, APictureOfASizeThatCannotBeIsTooLarge) {
  const auto source = OpenSource("mem://d/t.tsv", options_);
  for (const std::int64_t size : {std::numeric_limits<std::int64_t>::max(), std::int64_t{-1}}) {
    memory_.faults.claimed_size = size;
    const RecordBlock block = source->Read(SampleIndex{0}, 1, {});
    EXPECT_EQ(block.records[0].skip, Skip::kTooLarge) << size;
  }
}

TEST_F(FileSystemTest, AUrlInATableIsAMissingPicture) {
  WriteFile(folder_ / "urls.tsv",
            "filepath\tcaption\nhttp://host/a.jpg\ta cat\none.jpg\ta dog\nftp://b.jpg\tgone\n");
  const Lines lines = OnDisk("urls.tsv");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].ends_with("|missing")) << lines[0];
  EXPECT_EQ(lines[1], "one.jpg|picture one|a dog|-1|");
  EXPECT_TRUE(lines[2].ends_with("|missing")) << lines[2];
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());  // a table without a folder
  const Lines bare = Summary(ReadAll(*OpenSource("urls.tsv")));
  std::filesystem::current_path(before);
  EXPECT_EQ(bare, lines);
}

TEST(FileSystem, ListsAFolderAndWhatItsLinksLeadTo) {
  using Kind = FolderEntry::Kind;
  const TemporaryFolder folder;
  const std::filesystem::path top = folder.path();
  WriteFile(folder / "file", "x");
  std::filesystem::create_directory(top / "folder");
  std::filesystem::create_directory_symlink(top / "folder", top / "to_folder");
  std::filesystem::create_symlink(top / "file", top / "to_file");
  std::filesystem::create_symlink(top / "gone", top / "to_nothing");
  ASSERT_EQ(mkfifo((top / "fifo").c_str(), 0600), 0);
  const FileSystem& files = FileSystemOf(folder.path().string());
  std::map<std::string, Kind> kinds;
  files.List(folder.path(), [&](const FolderEntry& entry) {
    EXPECT_FALSE(entry.error) << entry.name;
    kinds[entry.name] = entry.kind;
  });
  EXPECT_EQ(kinds, (std::map<std::string, Kind>{{"file", Kind::kFile},
                                                {"folder", Kind::kFolder},
                                                {"to_folder", Kind::kFolder},
                                                {"to_file", Kind::kFile},
                                                {"to_nothing", Kind::kBrokenLink},
                                                {"fifo", Kind::kOther}}));
  EXPECT_TRUE(files.FindFolder(folder / "folder"));
  EXPECT_EQ(files.FindFolder(folder / "folder"), files.FindFolder(folder / "to_folder"));
  for (const char* name : {"file", "to_nothing", "fifo", "absent"}) {
    EXPECT_FALSE(files.FindFolder(folder / name)) << name;
  }
  EXPECT_NE(ErrorOf([&] {
              files.List(folder / "file", [](const FolderEntry&) {});
            }).find("the folder cannot be read"),
            std::string::npos);
}

TEST(FileSystem, OfAnUnknownSchemeIsRefused) {
  EXPECT_TRUE(IsUri("ftp://host/a.tar"));
  EXPECT_FALSE(IsUri("/data/a.tar"));
  EXPECT_FALSE(IsUri("://b"));
  EXPECT_FALSE(IsUri("/data/http://b"));
  const std::string error = ErrorOf([] { OpenSource("ftp://host/a.tar"); });
  EXPECT_NE(error.find("ftp:// is not supported"), std::string::npos) << error;
}

}  // namespace
}  // namespace fastclip
