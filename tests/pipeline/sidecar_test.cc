#include "pipeline/shards/sidecar.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "pipeline/shards/tar_source.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/record_lines.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"
#include "tests/support/without_root.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class SidecarTest : public testing::Test {
 protected:
  SidecarTest() {
    fs::create_directory(folder_ / "s");
    for (int i = 0; i < 3; ++i) {
      WriteShard(Shard(i), PlainMembers(4 + i, std::string(1, 'a' + i)));
    }
  }
  std::string Shard(int i) const { return folder_ / ("s/" + std::to_string(i) + ".tar"); }
  std::string Beside(int i) const { return Shard(i) + ".fastclip"; }
  PartInfo Open(const std::string& list, const SourceOptions& options = {}) const {
    return OpenSourceWithInfo(list, options).parts.front();
  }
  Lines Read(const SourceOptions& options = {}) const {
    return Summary(ReadAll(*OpenSource(list_, options)));
  }
  static std::vector<std::string> FilesIn(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }

  TemporaryFolder folder_;
  const std::string list_ = folder_ / "s/{0..2}.tar";
};

TEST_F(SidecarTest, LiesBesideItsShardAndIsNoShard) {
  Open(list_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(fs::exists(Beside(i))) << i;
  EXPECT_EQ(Open(folder_ / "s/*").records, 4 + 5 + 6);
}

TEST_F(SidecarTest, IsSharedByTheListsOfAFolder) {
  Open(list_);
  const PartInfo other = Open(folder_ / "s/{1..2}.tar");
  EXPECT_EQ(other.walked, 0);
  EXPECT_EQ(other.records, 5 + 6);
  SourceOptions elsewhere;
  elsewhere.manifest = folder_ / "mine.manifest";
  EXPECT_EQ(Open(list_, elsewhere).walked, 0);
  EXPECT_FALSE(fs::exists(folder_ / "mine.manifest.places"));
}

TEST_F(SidecarTest, IsNotWrittenAgainWhereAListGrows) {
  Open(folder_ / "s/*.tar");
  const auto before = ReadFile(Beside(0));
  const auto long_ago = fs::last_write_time(Beside(0)) - std::chrono::hours(1);
  fs::last_write_time(Beside(0), long_ago);
  WriteShard(Shard(3), PlainMembers(2));
  EXPECT_EQ(Open(folder_ / "s/*.tar").walked, 1);
  EXPECT_EQ(fs::last_write_time(Beside(0)), long_ago);
  EXPECT_EQ(ReadFile(Beside(0)), before);
}

TEST_F(SidecarTest, IsNotOpenedUntilItsShardIsRead) {
  const Lines whole = Read();
  for (int i = 0; i < 3; ++i) fs::remove(Beside(i));
  const OpenedSource opened = OpenSourceWithInfo(list_);
  EXPECT_EQ(opened.parts[0].walked, 0);
  EXPECT_EQ(opened.source->size(), 15);
  opened.source->Read(SampleIndex{5}, 1, {});
  EXPECT_TRUE(fs::exists(Beside(1)));
  EXPECT_FALSE(fs::exists(Beside(0)) || fs::exists(Beside(2)));
  EXPECT_EQ(Summary(ReadAll(*opened.source)), whole);
}

TEST_F(SidecarTest, IsMadeAgainWhereItIsDamaged) {
  SourceOptions options;
  options.add_checksums = true;
  Open(list_, options);
  options.add_checksums = false;
  const Lines whole = Read();
  const std::string bytes = ReadFile(Beside(1));
  for (const bool verify : {false, true}) {
    options.verify_checksums = verify;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
      WriteFile(Beside(1), damaged);
      ASSERT_EQ(Read(options), whole) << i;
    }
    for (std::size_t size = 0; size < bytes.size(); size += 7) {
      WriteFile(Beside(1), std::string_view(bytes).substr(0, size));
      ASSERT_EQ(Read(options), whole) << size;
    }
  }
  EXPECT_EQ(ReadFile(Beside(1)), bytes);
}

TEST_F(SidecarTest, OfAnotherShardOrTimeIsMadeAgain) {
  const Lines whole = Read();
  fs::copy_file(Beside(0), Beside(1), fs::copy_options::overwrite_existing);
  EXPECT_EQ(Read(), whole);
  // Another list took in a shard with as many records, then the shard was put back.
  const std::string shard = ReadFile(Shard(1));
  const auto time = fs::last_write_time(Shard(1));
  WriteShard(Shard(1), PlainMembers(5, "other"));
  Open(folder_ / "s/{1..2}.tar");
  WriteFile(Shard(1), shard);
  fs::last_write_time(Shard(1), time);
  EXPECT_EQ(Read(), whole);
}

// While a run has the list open, and has not read the shard yet.
TEST_F(SidecarTest, MadeAgainForOtherRecordsIsRefusedByName) {
  const auto source = OpenSource(list_);
  WriteShard(Shard(1), PlainMembers(6, "x"));
  EXPECT_NE(ErrorOf([&] {
              source->Read(SampleIndex{4}, 1, {});
            }).find("s/1.tar: changed since it was indexed (5 records then, 6 now)"),
            std::string::npos);
  EXPECT_EQ(source->Read(SampleIndex{0}, 1, {}).records[0].key, "a1000");
}

TEST_F(SidecarTest, FitsTheShardThatIsOpen) {
  const auto read = [](const RecordSource& source) {
    return Summary(source.Read(SampleIndex{5}, 5, {}));
  };
  const auto source = OpenSource(list_);
  const Lines before = read(*source);
  // Another file under its name: what is open stays as long as it is.
  WriteShard(folder_ / "other", Mended(PlainMembers(5, "b")));
  const std::string other = ReadFile(folder_ / "other");
  fs::rename(Shard(1), folder_ / "moved");
  WriteFile(Shard(1), other);
  const Lines now = read(*OpenSource(list_));
  EXPECT_NE(now, before);
  EXPECT_EQ(read(*source), before);
  // Other bytes in the same file.
  WriteFile(folder_ / "moved", other + std::string(512, '\0'));
  EXPECT_EQ(read(*source), now);
}

TEST_F(SidecarTest, OfAShardThatIsRefusedKeepsItsChecksums) {
  SourceOptions options;
  options.add_checksums = true;
  Open(list_, options);
  const std::string shard = ReadFile(Shard(1));
  WriteShard(Shard(1), PlainMembers(4, "x"));
  SourceOptions train;
  EXPECT_NE(ErrorOf([&] { Open(list_, train); }).find("changed since it was indexed"),
            std::string::npos);
  WriteFile(Shard(1), shard);
  train.verify_checksums = true;
  EXPECT_EQ(ErrorOf([&] { Open(list_, train); }), "");
}

TEST_F(SidecarTest, TellsThePlacesOfAShardThatIsGone) {
  const std::int64_t offset = OpenSource(list_)->OriginOf(SampleIndex{6}).offset;
  EXPECT_GT(offset, 0);
  fs::remove(Shard(1));
  const auto source = OpenSource(list_);
  EXPECT_EQ(source->OriginOf(SampleIndex{6}).offset, offset);
  fs::remove(Beside(1));
  const auto without = OpenSource(list_);
  EXPECT_EQ(without->OriginOf(SampleIndex{6}).offset, -1);
  EXPECT_EQ(without->Read(SampleIndex{6}, 1, {}).records[0].skip, Skip::kMissing);
}

TEST_F(SidecarTest, GoesWithTheManifestWhereThatIsToldToLie) {
  SourceOptions options;
  options.manifest = folder_ / "mine.manifest";
  Open(list_, options);
  EXPECT_FALSE(fs::exists(Beside(0)));
  EXPECT_EQ(FilesIn(folder_ / "mine.manifest.places").size(), 3u);
  fs::rename(folder_ / "s", folder_ / "moved");
  const OpenedSource moved = OpenSourceWithInfo(folder_ / "moved/{0..2}.tar", options);
  EXPECT_EQ(moved.parts[0].walked, 0);
  EXPECT_EQ(ReadAll(*moved.source).records[4].key, "b1000");
  EXPECT_FALSE(fs::exists(folder_ / "moved/1.tar.fastclip"));
}

TEST_F(SidecarTest, TellsShardsOfOneNameInTwoFoldersApart) {
  fs::create_directory(folder_ / "t");
  WriteShard(folder_ / "t/0.tar", PlainMembers(2, "t"));
  SourceOptions options;
  options.manifest = folder_ / "mine.manifest";
  for (int again = 0; again < 2; ++again) {
    const auto source = OpenSource(folder_ / "{s,t}/0.tar", options);
    EXPECT_EQ(source->Read(SampleIndex{4}, 1, {}).records[0].key, "t1000");
  }
}

TEST_F(SidecarTest, LastsAsLongAsTheRunWhereNothingCanBeWritten) {
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "s", fs::perms{0555});
  {
    const WithoutRoot unprivileged;
    const OpenedSource opened = OpenSourceWithInfo(list_);
    EXPECT_NE(opened.parts[0].notes.at(0).find("the manifest cannot be saved"), std::string::npos);
    EXPECT_EQ(ReadAll(*opened.source).records[14].key, "c1005");
    EXPECT_EQ(opened.source->OriginOf(SampleIndex{0}).offset, 0);
  }
  fs::permissions(folder_ / "s", fs::perms{0755});
  EXPECT_EQ(FilesIn(folder_ / "s").size(), 3u);
}

TEST_F(SidecarTest, MayBeLostWhereNothingCanBeWritten) {
  const Lines whole = Read();
  fs::remove(Beside(1));
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "s", fs::perms{0555});
  {
    const WithoutRoot unprivileged;
    EXPECT_EQ(Read(), whole);
  }
  fs::permissions(folder_ / "s", fs::perms{0755});
  EXPECT_FALSE(fs::exists(Beside(1)));
}

TEST_F(SidecarTest, IsTheSameWhereItIsOpenedAgainAfterManyOthers) {
  fs::create_directory(folder_ / "many");
  for (int i = 0; i < 300; ++i) {
    WriteShard(folder_ / ("many/" + std::to_string(i) + ".tar"),
               PlainMembers(2, std::to_string(i) + "-"));
  }
  const std::string list = folder_ / "many/{0..299}.tar";
  const Lines whole = Summary(ReadAll(*OpenSource(list)));
  // One is damaged where no other can be put in its place, another is not ours to read.
  const std::string damaged = folder_ / "many/0.tar.fastclip";
  std::string bytes = ReadFile(damaged);
  bytes.back() ^= 1;
  WriteFile(damaged, bytes);
  fs::permissions(folder_ / "many/1.tar.fastclip", fs::perms::none);
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "many", fs::perms{0555});
  {
    const WithoutRoot unprivileged;
    const auto source = OpenSource(list);
    for (int again = 0; again < 2; ++again) EXPECT_EQ(Summary(ReadAll(*source)), whole);
  }
  fs::permissions(folder_ / "many", fs::perms{0755});
  EXPECT_EQ(ReadFile(damaged), bytes);
}

class ChecksumTest : public SidecarTest {
 protected:
  ChecksumTest() {
    take_.add_checksums = true;
    verify_.verify_checksums = true;
  }
  /// A byte of a shard's record becomes another one; its time stays.
  void Change(int shard, const std::string& text) const {
    std::string bytes = ReadFile(Shard(shard));
    bytes.at(bytes.find(text)) ^= 1;
    const auto time = fs::last_write_time(Shard(shard));
    WriteFile(Shard(shard), bytes);
    fs::last_write_time(Shard(shard), time);
  }
  /// The records that are passed over, with their cause.
  Lines Bad(const SourceOptions& options) const {
    Lines bad;
    const RecordBlock block = ReadAll(*OpenSource(list_, options));
    for (const Record& record : block.records) {
      if (record.skip)
        bad.push_back(std::to_string(ToInt(record.index)) + " " + SkipName(*record.skip));
    }
    return bad;
  }

  SourceOptions take_, verify_;
};

TEST_F(ChecksumTest, IsOfEachRecordAndTellsWhichChanged) {
  const PartInfo plain = Open(list_), taken = Open(list_, take_);
  EXPECT_EQ(plain.checksummed, 0);
  EXPECT_EQ(taken.checksummed, 3);
  EXPECT_EQ(taken.walked, 3);
  EXPECT_EQ(taken.hash, plain.hash);
  EXPECT_EQ(Open(list_, take_).walked, 0);
  EXPECT_EQ(Read(verify_), Read());
  Change(0, "image of a1003");
  Change(1, "caption of b1001");
  EXPECT_EQ(Bad(verify_), (Lines{"3 changed", "5 changed"}));
  EXPECT_EQ(Bad({}), Lines());
}

TEST_F(ChecksumTest, SeesMoreThanAFetchOfOneRecord) {
  WriteShard(Shard(1), {{"a.jpg", std::string(9 << 20, 'a')},
                        {"a.txt", "larger than what is fetched together"},
                        {"b.jpg", "B"},
                        {"b.txt", "small"}});
  Open(list_, take_);
  EXPECT_EQ(Bad(verify_), Lines());
  Change(1, "larger than");
  EXPECT_EQ(Bad(verify_), (Lines{"4 changed"}));
}

TEST_F(ChecksumTest, IsTakenOfACutShardAsItIs) {
  const std::string bytes = ReadFile(Shard(1));
  WriteFile(Shard(1), std::string_view(bytes).substr(0, bytes.find("image of b1003") + 50));
  Open(list_, take_);
  EXPECT_EQ(Bad(verify_), (Lines{"7 truncated"}));
}

TEST_F(ChecksumTest, MustBeTakenBeforeItCanBeVerified) {
  for (int again = 0; again < 2; ++again) {
    const std::string error = ErrorOf([&] { Open(list_, verify_); });
    EXPECT_NE(error.find("0.tar: no checksums"), std::string::npos) << error;
    EXPECT_NE(error.find("fastclip shards index --checksum '" + list_ + "'"), std::string::npos);
    EXPECT_EQ(fs::exists(Beside(0)), again == 1);
    Open(list_);
  }
  SourceOptions elsewhere = verify_;
  elsewhere.manifest = folder_ / "mine.manifest";
  EXPECT_NE(ErrorOf([&] {
              Open(list_, elsewhere);
            }).find("--checksum '" + list_ + "' --manifest " + elsewhere.manifest),
            std::string::npos);
  WriteFile(folder_ / "t.tsv", "filepath\tcaption\na.jpg\tone\n");
  for (const SourceOptions& options : {take_, verify_}) {
    for (const std::string& list : {std::string(folder_ / "t.tsv"), std::string("synthetic:3")}) {
      EXPECT_NE(ErrorOf([&] { Open(list, options); }).find("checksums are for tar shards"), std::string::npos);
    }
  }
}

TEST_F(ChecksumTest, IsSharedByTheListsOfAFolder) {
  Open(list_, take_);
  EXPECT_EQ(Open(folder_ / "s/*.tar", verify_).walked, 0);
}

TEST_F(ChecksumTest, OutlivesAnIndexWithoutThatWasBegunBeforeIt) {
  // The one walks and looks, the other takes checksums, the one writes.
  SidecarStore store("", FileKind::kTar);
  auto walked = WalkPath(Shard(1), TarSource::Walk, /*checksums=*/false);
  ASSERT_TRUE(walked.has_value());
  Open(list_, take_);
  EXPECT_TRUE(store.Write(Shard(1), "1.tar", *walked).facts().checksums_hash.has_value());
  EXPECT_EQ(Bad(verify_), Lines());
  // Of another file they do not hold.
  walked->facts.stamp.mtime_ns += 1;
  EXPECT_FALSE(store.Write(Shard(1), "1.tar", *walked).facts().checksums_hash.has_value());
}

TEST_F(ChecksumTest, HoldsWhateverManyIndexAtOnce) {
  std::vector<std::jthread> runs;
  for (int i = 0; i < 4; ++i) {
    runs.emplace_back([this, i] { Open(list_, i == 0 ? take_ : SourceOptions()); });
  }
  runs.clear();
  EXPECT_EQ(Open(list_).checksummed, 3);
  EXPECT_EQ(Bad(verify_), Lines());
}

TEST_F(ChecksumTest, HoldsForACopyWithAnotherTime) {
  Open(list_, take_);
  Change(2, "image of c1002");
  for (int i = 0; i < 3; ++i) {
    fs::last_write_time(Shard(i), fs::file_time_type::clock::now() + std::chrono::seconds(5));
  }
  EXPECT_EQ(Bad(verify_), (Lines{"11 changed"}));
  EXPECT_EQ(Open(list_).checksummed, 3);
  // Other records in the same number of bytes have no checksums.
  WriteShard(Shard(0), {{"a.jpg", std::string(ReadFile(Shard(0)).size() - 3072, 'x')},
                        {"a.txt", "one large record"}});
  EXPECT_EQ(Open(list_, Renewing()).checksummed, 2);
}

TEST_F(ChecksumTest, ThatIsLostIsTakenAgainOnlyOfTheSameBytes) {
  Open(list_, take_);
  fs::remove(Beside(1));
  EXPECT_EQ(Read(verify_), Read());
  fs::remove(Beside(1));
  Read();  // makes a sidecar without checksums
  Change(1, "image of b1002");
  EXPECT_NE(ErrorOf([&] { Read(verify_); }).find("1.tar: its checksums are lost"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip
