// What a source answers while its files fail, change and become shorter: what it answered before, a
// skip or an error that names the file, never other data.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/memory_files.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

std::string Gzipped(const std::string& path, const std::string& text) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  return ReadFile(path);
}

/// A kind of source: its list, and the file of it that faults are in.
struct Kind {
  std::string list, file;
  bool is_copy = false;     ///< what is read, once it is open, is a copy of the file
  bool is_picture = false;  ///< the file is a picture: what it holds is the decoder's to judge
};
const Kind kKinds[] = {{.list = "{0,1}.tar", .file = "1.tar"},
                       {.list = "t.tsv", .file = "t.tsv"},
                       {.list = "z.tsv.gz", .file = "z.tsv.gz", .is_copy = true},
                       {.list = "t.jsonl", .file = "t.jsonl"},
                       {.list = "set", .file = "set/dog/one.jpg", .is_picture = true}};

/// One source of each kind, on the disk and in memory.
class SourceFaultsTest : public testing::Test {
 protected:
  SourceFaultsTest() {
    for (const char* folder : {"set", "set/cat", "set/dog"}) fs::create_directory(folder_ / folder);
    WriteShard(folder_ / "0.tar", PlainMembers(20, "a"));
    WriteShard(folder_ / "1.tar", PlainMembers(30, "b"));
    const std::string rows =
        "filepath\tcaption\none.jpg\t\"a cat,\nsitting\"\nno.jpg\tgone\ntwo.jpg\ta dog\n";
    Gzipped(folder_ / "z.tsv.gz", rows);
    WriteFile(folder_ / "t.tsv", rows);
    WriteFile(folder_ / "t.jsonl",
              "{\"filepath\":\"one.jpg\",\"caption\":\"a cat\"}\n[]\n"
              "{\"filepath\":\"two.jpg\",\"caption\":\"a dog\"}\n");
    WriteFile(folder_ / "one.jpg", "picture one");
    WriteFile(folder_ / "two.jpg", "picture two");
    WriteFile(folder_ / "set/cat/two.jpg", "picture of a cat");
    WriteFile(folder_ / "set/dog/one.jpg", "picture of a dog");
    for (const char* name : {"0.tar", "1.tar", "t.tsv", "z.tsv.gz", "t.jsonl", "one.jpg", "two.jpg",
                             "set/cat/two.jpg", "set/dog/one.jpg"}) {
      Put(name, ReadFile(folder_ / name));
    }
    in_memory_.manifest_fallback_dir = folder_ / "index";
    fs::create_directory(in_memory_.manifest_fallback_dir);
  }

  /// A file gets these bytes and another time, on the disk and in memory, whoever has it open.
  void Put(const std::string& name, const std::string& bytes) {
    WriteFile(folder_ / name, bytes);
    // Of yesterday: what was just written is waited for before it is indexed.
    fs::last_write_time(folder_ / name, fs::file_time_type::clock::now() - std::chrono::hours(24) +
                                            std::chrono::seconds(++time_));
    MemoryFiles::Entry& entry = memory_.files["mem://d/" + name];
    entry = {.bytes = bytes, .time = time_};
  }

  std::unique_ptr<RecordSource> Open(const Kind& kind) const {
    SourceOptions options = in_memory_;
    if (kind.is_picture) options.labels = "";
    return OpenSource("mem://d/" + kind.list, options);
  }
  std::unique_ptr<RecordSource> OpenOnDisk(const Kind& kind) const {
    SourceOptions options;
    if (kind.is_picture) options.labels = "";
    return OpenSource(folder_ / kind.list, options);
  }
  /// The records, or the error in place of them, with names as in memory.
  Lines Answer(const RecordSource& source) const {
    Lines lines;
    std::string error = ErrorOf([&] { lines = Summary(ReadAll(source)); });
    const std::string here = folder_.path().string() + "/";
    for (std::size_t at; (at = error.find(here)) != error.npos;)
      error.replace(at, here.size(), "mem://d/");
    return error.empty() ? lines : Lines{"error: " + error};
  }
  Lines OnDisk(const Kind& kind) const { return Answer(*OpenOnDisk(kind)); }
  Lines InMemory(const Kind& kind) const { return Answer(*Open(kind)); }

  /// Faults of a kind's file from now on.
  MemoryFaults& Faults(const Kind& kind) {
    memory_.faults = {.only = kind.file};
    memory_.reads = memory_.failed = 0;
    return memory_.faults;
  }

  /// A record is what it was or is passed over as truncated, unless an error names the file.
  static void ExpectWholeOrTold(const Lines& answer, const Lines& whole, const Kind& kind) {
    if (IsError(answer)) {
      EXPECT_TRUE(answer[0].starts_with("error: mem://d/" + kind.file + ": ")) << answer[0];
      return;
    }
    ASSERT_EQ(answer.size(), whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      EXPECT_TRUE(answer[i] == whole[i] || answer[i].ends_with("|truncated")) << answer[i];
    }
  }
  static bool IsError(const Lines& answer) {
    return answer.size() == 1 && answer[0].starts_with("error: ");
  }

  const TemporaryFolder folder_;
  MemoryFiles memory_;
  const AddedFileSystem added_{"mem", memory_};
  SourceOptions in_memory_;
  std::int64_t time_ = 0;
};

TEST_F(SourceFaultsTest, SourcesOfAnotherFileSystemGiveTheRecordsOfTheDisk) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(kind.list);
    EXPECT_EQ(InMemory(kind), OnDisk(kind));
    EXPECT_FALSE(IsError(OnDisk(kind))) << OnDisk(kind)[0];
    EXPECT_EQ(Open(kind)->hash(), OpenOnDisk(kind)->hash());
  }
}

TEST_F(SourceFaultsTest, ShortReadsChangeNothing) {
  for (const std::size_t most : {1, 7, 511}) {
    memory_.faults.most_at_once = most;
    for (const Kind& kind : kKinds) EXPECT_EQ(InMemory(kind), OnDisk(kind)) << kind.list << most;
  }
}

TEST_F(SourceFaultsTest, FailuresThatPassChangeNothing) {
  for (const Kind& kind : kKinds) {
    for (const int error : {EINTR, EIO, ETIMEDOUT}) {
      MemoryFaults& faults = Faults(kind);
      faults.fails_every = 2;
      faults.error = error;
      // A file can be read at once, so that only the second reading fails.
      for (int i = 0; i < 2; ++i) EXPECT_EQ(InMemory(kind), OnDisk(kind)) << kind.list << error;
      EXPECT_GT(memory_.failed, 0) << kind.list << error;
    }
  }
}

TEST_F(SourceFaultsTest, FailuresThatStayNameTheFileAndTheOffset) {
  std::vector<std::unique_ptr<RecordSource>> sources;
  std::vector<std::future<Lines>> answers;
  for (const Kind& kind : kKinds) sources.push_back(Open(kind));
  memory_.faults.fails_every = 1;
  // Each is tried for a second.
  for (const auto& source : sources)
    answers.push_back(
        std::async(std::launch::async, [this, &source = *source] { return Answer(source); }));
  const char* const files[] = {"0.tar", "t.tsv", "one.jpg", "t.jsonl", "set/cat/two.jpg"};
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Lines answer = answers[i].get();
    ASSERT_TRUE(IsError(answer)) << files[i];
    EXPECT_TRUE(answer[0].starts_with(fmt::format("error: mem://d/{}: reading ", files[i])))
        << answer[0];
    EXPECT_NE(answer[0].find(" at offset "), std::string::npos) << answer[0];
    EXPECT_NE(answer[0].find(" failed: Input/output error"), std::string::npos) << answer[0];
  }
}

TEST_F(SourceFaultsTest, FailuresWhileItIsOpenedNameTheFile) {
  for (const Kind& kind : kKinds) {
    if (kind.is_picture) continue;  // no picture is read then
    MemoryFaults& faults = Faults(kind);
    faults.error = EBADMSG;  // it cannot pass
    faults.fails_every = 1;
    EXPECT_NE(ErrorOf([&] { Open(kind); }).find("mem://d/" + kind.file + ": reading "),
              std::string::npos)
        << ErrorOf([&] { Open(kind); });
  }
}

TEST_F(SourceFaultsTest, AnIndexIsKeptAndFound) {
  OpenSource("mem://d/{0,1}.tar", in_memory_);
  const auto opened = OpenSourceWithInfo("mem://d/{0,1}.tar", in_memory_);
  EXPECT_EQ(opened.parts[0].walked, 0);
  EXPECT_EQ(opened.source->size(), 50);
  EXPECT_TRUE(opened.parts[0].manifest.starts_with(in_memory_.manifest_fallback_dir));
}

TEST_F(SourceFaultsTest, AnotherTimeOfTheSameBytesChangesNothing) {
  for (const Kind& kind : kKinds) {
    const Lines whole = OnDisk(kind);
    for (const int after : {0, 1, 2, 5}) {
      const auto source = Open(kind);
      MemoryFaults& faults = Faults(kind);
      faults.claimed_time = 1000 + after;
      faults.claimed_after_reads = after;
      for (int again = 0; again < 4; ++again)
        EXPECT_EQ(Answer(*source), whole) << kind.list << after;
      memory_.faults = {};
    }
  }
}

TEST_F(SourceFaultsTest, WhatIsCutAfterItWasOpenedIsAsOnTheDisk) {
  for (const Kind& kind : kKinds) {
    const Lines whole = OnDisk(kind);
    const std::string bytes = ReadFile(folder_ / kind.file);
    const auto size = bytes.size();
    std::vector<std::size_t> ends = {0, 1, size / 4, size / 2, size - 3, size - 1};
    if (const auto last = bytes.find("b1029.txt"); last != bytes.npos) ends.push_back(last);
    int told = 0;
    for (const std::size_t end : ends) {
      SCOPED_TRACE(fmt::format("{} cut at {}", kind.list, end));
      const auto here = OpenOnDisk(kind), there = Open(kind);
      Put(kind.file, bytes.substr(0, end));
      const Lines answer = Answer(*there);
      EXPECT_EQ(answer, Answer(*here));
      if (kind.is_picture) {
        EXPECT_EQ(answer[1], "dog/one.jpg|" + bytes.substr(0, end) + "||1|");
      } else {
        ExpectWholeOrTold(answer, whole, kind);
      }
      told += answer != whole;
      Put(kind.file, bytes);
    }
    // A tar ends in zeros, which nobody misses.
    const int harmless = kind.is_copy ? 6 : kind.list.ends_with(".tar") ? 2 : 0;
    EXPECT_EQ(told, std::ssize(ends) - harmless) << kind.list;
  }
}

TEST_F(SourceFaultsTest, WhatIsCutWhileItIsReadIsTruncatedOrAnErrorThatNamesTheFile) {
  for (const Kind& kind : kKinds) {
    const auto source = Open(kind);
    const Lines whole = OnDisk(kind);
    const auto size = std::ssize(memory_.files.at("mem://d/" + kind.file).bytes);
    Faults(kind).most_at_once = static_cast<std::size_t>(std::max<std::int64_t>(size / 10, 1));
    EXPECT_EQ(Answer(*source), whole);
    const std::int64_t reads = memory_.reads;
    int told = 0;
    for (const std::int64_t end : {std::int64_t{0}, size / 3, size * 3 / 4, size - 3, size - 1}) {
      for (std::int64_t after = 0; after < reads; ++after) {
        SCOPED_TRACE(fmt::format("{} cut at {} after {} reads", kind.list, end, after));
        memory_.faults.cut_at = end;
        memory_.faults.cut_after_reads = after;
        memory_.reads = 0;
        const Lines answer = Answer(*source);
        ExpectWholeOrTold(answer, whole, kind);
        told += answer != whole;
      }
    }
    EXPECT_EQ(told > 0, !kind.is_copy) << kind.list;
    memory_.faults = {};
    EXPECT_EQ(Answer(*source), whole) << "what was cut is not remembered";
  }
}

TEST_F(SourceFaultsTest, ATableThatIsCutWhileItIsIndexedIsRefusedByName) {
  for (const Kind& kind : kKinds) {
    if (kind.is_picture || kind.list.ends_with(".tar"))
      continue;  // the scan of a tar says so itself
    const auto size = std::ssize(memory_.files.at("mem://d/" + kind.file).bytes);
    Faults(kind).most_at_once = 16;
    for (const std::int64_t end : {size / 2, size - 3}) {
      for (const std::int64_t after : {0, 1, 2}) {
        memory_.faults.cut_at = end;
        memory_.faults.cut_after_reads = after;
        memory_.reads = 0;
        const std::string error = ErrorOf([&] { Open(kind); });
        EXPECT_TRUE(error.starts_with("mem://d/" + kind.file + ": truncated"))
            << kind.list << error;
      }
    }
  }
}

TEST_F(SourceFaultsTest, AGzipFileThatIsCutBetweenItsMembersWhileItIsReadIsRefused) {
  const std::string first = Gzipped(folder_ / "first.gz", "filepath\tcaption\none.jpg\ta cat\n");
  Put("m.tsv.gz", first + Gzipped(folder_ / "second.gz", "two.jpg\ta dog\n"));
  const Kind kind{.list = "m.tsv.gz", .file = "m.tsv.gz"};
  EXPECT_EQ(InMemory(kind).size(), 2u);
  fs::remove_all(in_memory_.manifest_fallback_dir);
  fs::create_directory(in_memory_.manifest_fallback_dir);
  Faults(kind).cut_at = std::ssize(first);
  EXPECT_EQ(ErrorOf([&] { Open(kind); }),
            "mem://d/m.tsv.gz: truncated gzip stream; fetch it again");
}

TEST_F(SourceFaultsTest, ARecordThatLosesAMemberWhileItIsReadIsTruncated) {
  WriteShard(
      folder_ / "c.tar",
      {{"1.jpg", "picture"}, {"1.txt", "short"}, {"1.json", R"({"captions": ["of the .json"]})"}});
  Put("c.tar", ReadFile(folder_ / "c.tar"));
  const Kind kind{.list = "c.tar", .file = "c.tar"};
  const auto source = Open(kind);
  EXPECT_EQ(Answer(*source), (Lines{"1|picture|of the .json|-1|"}));
  Faults(kind).cut_at = 4 * 512;  // behind the .txt
  EXPECT_EQ(Answer(*source), (Lines{"1|||-1|truncated"}));
}

TEST_F(SourceFaultsTest, OtherBytesInAnOpenFileAreRefusedByNameUnlessTheyArePictures) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(kind.list);
    const Lines whole = OnDisk(kind);
    const std::string bytes = ReadFile(folder_ / kind.file);
    const auto here = OpenOnDisk(kind), there = Open(kind);
    std::string other = bytes;
    if (kind.list.ends_with(".tar")) {
      WriteShard(folder_ / "other.tar", PlainMembers(30, "c"));
      other = ReadFile(folder_ / "other.tar");
    } else if (!kind.is_copy) {
      other.replace(other.find("dog"), 3, "emu");
    } else {
      other = Gzipped(folder_ / "other.gz", "filepath\tcaption\none.jpg\tother\n");
    }
    Put(kind.file, other);
    const Lines answer = Answer(*there);
    EXPECT_EQ(answer, Answer(*here));
    if (kind.is_copy) {
      EXPECT_EQ(answer, whole);
    } else if (kind.is_picture) {
      EXPECT_EQ(answer[1], "dog/one.jpg|picture of a emu||1|");
    } else {
      EXPECT_NE(answer[0].find("mem://d/" + kind.file + ": changed since it was indexed (still "),
                std::string::npos)
          << answer[0];
    }
  }
}

TEST_F(SourceFaultsTest, AFileThatIsGoneIsMissing) {
  const auto source = OpenSource("mem://d/{0,1}.tar", in_memory_);
  memory_.files.erase("mem://d/1.tar");
  EXPECT_TRUE(Answer(*source).back().ends_with("|missing"));
  const auto set = Open(kKinds[4]);
  memory_.files.erase("mem://d/set/dog/one.jpg");
  EXPECT_EQ(Answer(*set).back(), "dog/one.jpg|||1|missing");
}

constexpr std::int64_t kSizesThatCannotBe[] = {
    std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max() - 511,
    std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()};

TEST_F(SourceFaultsTest, ASizeThatCannotBeIsRefusedOrAPictureThatIsTooLarge) {
  for (const Kind& kind : kKinds) {
    for (const std::int64_t size : kSizesThatCannotBe) {
      Faults(kind).claimed_size = size;
      if (kind.is_picture) {
        EXPECT_EQ(InMemory(kind)[1], "dog/one.jpg|||1|too_large") << size;
      } else {
        EXPECT_NE(ErrorOf([&] { Open(kind); })
                      .find("mem://d/" + kind.file + ": " + std::to_string(size) +
                            " bytes is not a valid file size"),
                  std::string::npos)
            << kind.list << size;
      }
    }
  }
}

TEST_F(SourceFaultsTest, ASizeThatCannotBeIsToldWhenItComesWhileTheFileIsOpen) {
  for (const Kind& kind : kKinds) {
    const Lines whole = OnDisk(kind);
    for (const std::int64_t size : kSizesThatCannotBe) {
      for (const int after : {0, 1}) {
        SCOPED_TRACE(fmt::format("{} {} after {}", kind.list, size, after));
        const auto source = Open(kind);
        MemoryFaults& faults = Faults(kind);
        faults.claimed_size = size;
        faults.claimed_after_reads = after;
        Answer(*source);  // with the first reads
        const Lines answer = Answer(*source);
        memory_.faults = {};
        if (kind.is_copy) {
          EXPECT_EQ(answer, whole);
        } else if (kind.is_picture) {
          EXPECT_EQ(answer[1], "dog/one.jpg|||1|too_large");
        } else {
          EXPECT_NE(answer[0].find("mem://d/" + kind.file + ": "), std::string::npos) << answer[0];
          EXPECT_NE(answer[0].find("is not a valid file size"), std::string::npos) << answer[0];
        }
      }
    }
  }
}

TEST_F(SourceFaultsTest, APictureThatIsShorterThanItsSizeIsTruncated) {
  for (const Kind& kind : kKinds) {
    if (kind.list.ends_with(".tar")) continue;
    const auto source = Open(kind);
    memory_.faults = {.only = "one.jpg"};
    for (const auto& [size, skip] : {std::pair<std::int64_t, const char*>(1000, "truncated"),
                                     {std::numeric_limits<std::int64_t>::max(), "too_large"},
                                     {-1, "too_large"}}) {
      memory_.faults.claimed_size = size;
      const Lines answer = Answer(*source);
      EXPECT_TRUE(answer[kind.is_picture ? 1 : 0].ends_with(skip)) << kind.list << answer[0];
    }
    memory_.faults = {};
  }
}

}  // namespace
}  // namespace fastclip
