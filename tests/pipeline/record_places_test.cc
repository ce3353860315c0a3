#include "pipeline/shards/record_places.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "tests/pipeline/letter_files.h"
#include "tests/support/error_of.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class RecordPlacesTest : public LetterFiles {
 protected:
  RecordPlacesTest() {
    Write("0", "abc");
    Write("1", "defgh");
  }
  /// The places of a list of both files, which has just been indexed.
  RecordPlaces Places(bool checksums = false) {
    SourceOptions options;
    options.add_checksums = checksums;
    files_ = Index({"0", "1"}, options);
    scans_ = 0;
    return {files_, checksums};
  }
  static std::uint32_t PlaceOf(const Sidecar& sidecar, std::int64_t record) {
    std::uint32_t place = 0;
    sidecar.ReadPlaces(record * 4, std::as_writable_bytes(std::span(&place, 1)));
    return place;
  }

  IndexedFiles files_;
};

TEST_F(RecordPlacesTest, AreOpenedOnceAndKept) {
  const RecordPlaces places = Places();
  const auto first = places.Open(1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->facts().count, 5);
  EXPECT_EQ(PlaceOf(*first, 4), 104u);
  fs::remove(SidecarOf("1"));
  EXPECT_EQ(places.Open(1), first);
  EXPECT_EQ(places.Open(1, StampOf("1")), first);
  EXPECT_EQ(scans_, 0);
}

TEST_F(RecordPlacesTest, OfAFileThatIsGoneAreThoseOfItsSidecarElseNothing) {
  const RecordPlaces places = Places();
  fs::remove(Path("0"));
  fs::remove(Path("1"));
  fs::remove(SidecarOf("1"));
  ASSERT_NE(places.Open(0), nullptr);
  EXPECT_EQ(places.Open(0)->facts().count, 3);
  EXPECT_EQ(places.Open(1), nullptr);
  EXPECT_EQ(scans_, 0);
}

TEST_F(RecordPlacesTest, ThatAreLostOrDamagedAreMadeAgainByAScanOfTheirFileAlone) {
  const RecordPlaces whole = Places();
  const std::string bytes = ReadFile(SidecarOf("1"));
  for (const std::size_t at : {std::size_t{3}, std::size_t{20}, bytes.size() - 2}) {
    std::string damaged = bytes;
    damaged[at] ^= 1;
    WriteFile(SidecarOf("1"), damaged);
    const RecordPlaces places(files_, false);
    EXPECT_EQ(PlaceOf(*places.Open(1), 5), 105u);
    EXPECT_EQ(scans_.exchange(0), 1) << at;
    EXPECT_EQ(ReadFile(SidecarOf("1")), bytes) << at;
  }
  fs::remove(SidecarOf("1"));
  EXPECT_EQ(PlaceOf(*whole.Open(1), 5), 105u);
  EXPECT_EQ(scans_, 1);
  EXPECT_EQ(ReadFile(SidecarOf("1")), bytes);
}

TEST_F(RecordPlacesTest, AreMadeOnceForManyThreads) {
  const RecordPlaces places = Places();
  fs::remove(SidecarOf("0"));
  std::vector<std::shared_ptr<const Sidecar>> opened(8);
  {
    std::vector<std::jthread> threads;
    for (auto& sidecar : opened) threads.emplace_back([&] { sidecar = places.Open(0); });
  }
  for (const auto& sidecar : opened) EXPECT_EQ(sidecar, opened[0]);
  EXPECT_EQ(scans_, 1);
}

TEST_F(RecordPlacesTest, OfAFileWithAnotherTimeAreThoseOfTheFileAsItIs) {
  const RecordPlaces places = Places();
  const FileStamp before = StampOf("1");
  EXPECT_EQ(places.Open(1)->facts().stamp, before);
  Write("1", "DEFGH");  // the same keys
  const FileStamp now = StampOf("1");
  EXPECT_EQ(places.Open(1, now)->facts().stamp, now);
  EXPECT_EQ(places.Open(1, now)->facts().stamp, now);
  EXPECT_EQ(scans_, 1);
}

TEST_F(RecordPlacesTest, OfAFileThatWasReplacedShowTheStampOfTheNewOne) {
  const RecordPlaces places = Places();
  const FileStamp opened = StampOf("1");
  Write("1", "defgh");
  fs::remove(SidecarOf("1"));  // as one who indexes the new file does
  EXPECT_EQ(places.Open(1, opened)->facts().stamp, StampOf("1"));
}

TEST_F(RecordPlacesTest, OfOtherRecordsAreRefusedByName) {
  const RecordPlaces places = Places();
  for (const auto& [letters, change] : {std::pair("defgx", "(still 5 records, but different ones)"),
                                        {"defg", "(5 records then, 4 now)"}}) {
    Write("1", letters);
    const std::string error = ErrorOf([&] { places.Open(1, StampOf("1")); });
    EXPECT_NE(error.find(Path("1") + ": changed since it was indexed " + change), std::string::npos)
        << error;
  }
  EXPECT_EQ(places.Open(0)->facts().count, 3) << "the other file is sound";
}

TEST_F(RecordPlacesTest, WithChecksumsNeedThem) {
  const RecordPlaces places = Places(/*checksums=*/true);
  const auto checksums = [&](const Sidecar& sidecar) {
    std::vector<std::uint32_t> read(3);
    sidecar.ReadChecksums(0, read);
    return std::string(read.begin(), read.end());
  };
  EXPECT_EQ(checksums(*places.Open(0)), "abc");
  // Another run made the sidecar again and needed none.
  fs::remove(SidecarOf("0"));
  const RecordPlaces without(files_, false);
  EXPECT_FALSE(without.Open(0)->facts().checksums_hash);
  const RecordPlaces again(files_, true);
  EXPECT_EQ(checksums(*again.Open(0)), "abc");
  EXPECT_EQ(scans_, 2);
}

TEST_F(RecordPlacesTest, WhoseChecksumsAreLostAreRefusedOfOtherBytes) {
  const RecordPlaces places = Places(/*checksums=*/true);
  fs::remove(SidecarOf("0"));
  Write("0", "aBc");
  const std::string error = ErrorOf([&] { places.Open(0, StampOf("0")); });
  EXPECT_TRUE(error.starts_with(Path("0") + ": its checksums are lost and its bytes have changed"))
      << error;
}

TEST_F(RecordPlacesTest, OfAFileThatWasMissingWhenChecksumsWereTakenAreRefused) {
  Index({"0", "1"});
  const auto time = fs::last_write_time(Path("1"));
  fs::remove(Path("1"));
  fs::remove(SidecarOf("1"));
  SourceOptions options;
  options.add_checksums = true;
  files_ = Index({"0", "1"}, options);
  WriteFile(Path("1"), "defgh");
  fs::last_write_time(Path("1"), time);
  const RecordPlaces places(files_, true);
  const std::string error = ErrorOf([&] { places.Open(1); });
  EXPECT_TRUE(error.starts_with(Path("1") + ": has no checksums because it was missing")) << error;
  EXPECT_EQ(places.Open(0)->facts().count, 3);
}

}  // namespace
}  // namespace fastclip
