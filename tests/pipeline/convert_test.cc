#include "pipeline/convert.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "pipeline/encode.h"
#include "pipeline/in_order.h"
#include "pipeline/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/exif_maker.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class ConvertTest : public testing::Test {
 protected:
  ConvertTest() {
    Image wide{90, 40, std::vector<std::uint8_t>(90 * 40 * 3, 200)};
    WriteFile(folder_ / "wide.png", AsString(EncodePng(wide)));
    WriteFile(folder_ / "wide.jpg", AsString(EncodeJpeg(wide, 90)));
    Image large{400, 300, std::vector<std::uint8_t>(400 * 300 * 3, 10)};
    WriteFile(folder_ / "large.png", AsString(EncodePng(large)));
    WriteFile(folder_ / "bad.png", "\x89PNG and then nothing");
    WriteFile(folder_ / "t.tsv",
              "path\tcaption\tcaption2\n"
              "wide.png\ta wide one\t\n"
              "gone.png\tgone\t\n"
              "large.png\ta large one\tanother word\n"
              "bad.png\tbad\t\n"
              "wide.jpg\tcaf\xe9\t\n"
              "wide.png\t \t\n");
  }
  ConvertReport Run(const std::string& out, const ConvertOptions& options) const {
    return Convert(*OpenSource(folder_ / "t.tsv", Renewing()), folder_ / out, options);
  }

  TemporaryFolder folder_;
};

/// A BMP of one column of black pixels, 24 bits each.
std::string LongBmp(std::uint32_t height) {
  std::string bytes = "BM";
  const auto add = [&](std::uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  };
  add(54 + 4 * height, 4);
  add(0, 4);
  add(54, 4);
  add(40, 4);
  add(1, 4);
  add(height, 4);
  add(1, 2);
  add(24, 2);
  for (int i = 0; i < 6; ++i) add(0, 4);
  return bytes + std::string(std::size_t{4} * height, '\0');
}

ConvertOptions Small() {
  ConvertOptions options;
  options.resize = 20;
  options.encoding = Encoding::kJpeg;
  options.background = Rgb{255, 255, 255};
  return options;
}

TEST_F(ConvertTest, PacksCountsAndNames) {
  const ConvertReport report = Run("out", Small());
  EXPECT_EQ(report.done.rows, 6);
  EXPECT_EQ(report.done.written, 3);
  EXPECT_EQ(report.shards, 1);
  EXPECT_EQ(report.skips[static_cast<int>(Skip::kMissing)], 1);
  EXPECT_EQ(report.skips[static_cast<int>(Skip::kNoCaption)], 1);
  ASSERT_EQ(report.skipped.size(), 3u);
  EXPECT_EQ(report.skipped[1].key, "bad.png");
  EXPECT_EQ(report.skipped[1].row, 3);

  const auto source = OpenSource(folder_ / "out/*.tar");
  ASSERT_EQ(source->size(), 3);
  const RecordBlock block = source->Read(SampleIndex{0}, 3, {});
  EXPECT_EQ(block.records[1].key, "000000001");
  ASSERT_EQ(block.records[1].captions.size(), 2u);
  EXPECT_EQ(block.records[1].captions[1].text, "another word");
  EXPECT_EQ(block.records[2].captions[0].text, "caf\xe9");
  const auto size = std::get<ImageSize>(ReadImageSize(block.records[0].image));
  EXPECT_EQ(size.width, 45);
  EXPECT_EQ(size.height, 20);
  const auto json = nlohmann::json::parse(ReadFile(folder_ / "out/convert.json"));
  EXPECT_EQ(json["records"], 3);
  EXPECT_EQ(json["named"].size(), 3u);
}

TEST_F(ConvertTest, GivesTheSameBytesForAnyNumberOfThreads) {
  std::string rows = "path\ttext\n";
  for (int i = 0; i < 150; ++i) {
    rows +=
        std::string(i % 3 == 0 ? "large.png" : "wide.jpg") + "\tnumber " + std::to_string(i) + "\n";
  }
  WriteFile(folder_ / "t.tsv", rows);
  ConvertOptions options = Small();
  options.records_per_shard = 40;
  for (const int threads : {1, 3}) {
    options.threads = threads;
    EXPECT_EQ(Run("out" + std::to_string(threads), options).shards, 4);
  }
  for (const char* name : {"00000.tar", "00003.tar", "convert.json"}) {
    EXPECT_EQ(ReadFile(folder_ / ("out1/" + std::string(name))),
              ReadFile(folder_ / ("out3/" + std::string(name))));
  }
  const auto source = OpenSource(folder_ / "out3/{00000..00003}.tar");
  for (const std::int64_t i : {0, 39, 40, 149}) {
    EXPECT_EQ(source->Read(SampleIndex{i}, 1, {}).records[0].captions[0].text,
              "number " + std::to_string(i));
  }
  EXPECT_EQ(source->Read(SampleIndex{149}, 1, {}).records[0].key, "0000329");
}

TEST_F(ConvertTest, KeepsBytesWhereNothingIsToChange) {
  const ConvertReport report = Run("out", {});
  EXPECT_EQ(report.done.written, 3);
  const auto source = OpenSource(folder_ / "out/*.tar");
  const RecordBlock block = source->Read(SampleIndex{0}, 3, {});
  EXPECT_EQ(AsString(block.records[0].image), ReadFile(folder_ / "wide.png"));
  EXPECT_EQ(AsString(block.records[2].image), ReadFile(folder_ / "wide.jpg"));
}

TEST_F(ConvertTest, TurnsPicturesForGoodWhereThatIsAskedFor) {
  const Image wide{90, 40, std::vector<std::uint8_t>(90 * 40 * 3, 200)};
  WriteFile(folder_ / "turned.jpg", AsString(WithExif(EncodeJpeg(wide, 90), ExifOf(8))));
  WriteFile(folder_ / "t.tsv", "path\ttext\nturned.jpg\ta tall one\n");
  ConvertOptions options;
  options.decode.exif_rotate = true;
  EXPECT_THROW(Run("kept", options), std::invalid_argument);
  options.encoding = Encoding::kPng;
  Run("out", options);
  const RecordBlock block = OpenSource(folder_ / "out/*.tar")->Read(SampleIndex{0}, 1, {});
  const auto size = std::get<ImageSize>(ReadImageSize(block.records[0].image));
  EXPECT_EQ(size.width, 40);
  EXPECT_EQ(size.height, 90);
}

TEST_F(ConvertTest, LeavesOutWhatIsOverTheCap) {
  ConvertOptions options = Small();
  options.decode.max_pixels = 100'000;
  const ConvertReport report = Run("out", options);
  EXPECT_EQ(report.skips[static_cast<int>(Skip::kTooLarge)], 1);
  EXPECT_EQ(report.skipped[1].key, "large.png");
}

TEST_F(ConvertTest, LeavesOutWhatAPngCannotHold) {
  // More than a PNG of ours may have, and no more than is decoded.
  WriteFile(folder_ / "long.jpg", AsString(EncodeJpeg({1, 1, {1, 2, 3}}, 90)));
  WriteFile(folder_ / "long.bmp", LongBmp(1'500'000));
  WriteFile(folder_ / "t.tsv", "path\ttext\nlong.bmp\ta line\nlong.jpg\ta dot\n");
  ConvertOptions options;
  options.encoding = Encoding::kPng;
  options.decode.formats = ParsePictureFormats(std::vector<std::string>{"jpeg", "bmp"});
  const ConvertReport report = Run("out", options);
  EXPECT_EQ(report.done.written, 1);
  EXPECT_EQ(report.skips[static_cast<int>(Skip::kTooLarge)], 1);
}

TEST_F(ConvertTest, EndsShardsByBytes) {
  ConvertOptions options;
  options.max_bytes = 1;
  EXPECT_EQ(Run("out", options).shards, 3);
  EXPECT_EQ(OpenSource(folder_ / "out/{00000..00002}.tar")->size(), 3);
}

TEST_F(ConvertTest, IsThereAsAWholeOrNotAtAll) {
  fs::create_directory(folder_ / "out.unfinished");
  WriteFile(folder_ / "out.unfinished/00007.tar", "left by a run that was killed");
  EXPECT_EQ(Run("out/", Small()).done.written, 3);
  EXPECT_FALSE(fs::exists(folder_ / "out.unfinished"));
  EXPECT_FALSE(fs::exists(folder_ / "out/00007.tar"));
  EXPECT_NE(ErrorOf([&] { Run("out", Small()); }).find("exists already"), std::string::npos);

  fs::create_directory(folder_ / "new.unfinished");
  WriteFile(folder_ / "new.unfinished/thesis.doc", "somebody's");
  EXPECT_NE(ErrorOf([&] { Run("new", Small()); }).find("thesis.doc"), std::string::npos);

  WriteFile(folder_ / "t.tsv", "path\ttext\nbad.png\tx\n");
  EXPECT_NE(ErrorOf([&] { Run("none", Small()); }).find("none of 1 rows"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "none"));
  EXPECT_FALSE(fs::exists(folder_ / "none.unfinished"));
}

TEST_F(ConvertTest, LeavesNothingWhereTheDiskIsFull) {
  // A limit on the size of files stands for the full disk.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1024, before.rlim_max};
  const auto source = OpenSource(folder_ / "t.tsv");
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = ErrorOf([&] { Convert(*source, folder_ / "out", Small()); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(error.find("00000.tar: File too large"), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_TRUE(fs::is_empty(folder_ / "out.unfinished"));
  EXPECT_EQ(Run("out", Small()).done.written, 3);
}

TEST_F(ConvertTest, RefusesOptionsThatDoNotGoTogether) {
  ConvertOptions options = Small();
  options.encoding = Encoding::kKeep;
  EXPECT_THROW(Run("out", options), std::invalid_argument);
  options = Small();
  options.quality = 0;
  EXPECT_THROW(Run("out", options), std::invalid_argument);
  EXPECT_FALSE(fs::exists(folder_ / "out.unfinished"));
}

TEST(ForEachInOrder, TakesInOrderWhoeverMakes) {
  for (const int threads : {1, 2, 7}) {
    std::vector<std::int64_t> taken;
    ForEachInOrder(
        200, threads, [](std::int64_t task) { return task * task; },
        [&](std::int64_t square) { taken.push_back(square); });
    ASSERT_EQ(taken.size(), 200u);
    for (std::int64_t i = 0; i < 200; ++i) EXPECT_EQ(taken[static_cast<std::size_t>(i)], i * i);
  }
}

TEST(ForEachInOrder, EndsWithTheFirstFailure) {
  const auto fail_at = [](std::int64_t bad_make, std::int64_t bad_take) {
    ForEachInOrder(
        100, 3,
        [=](std::int64_t task) {
          return task == bad_make ? throw std::runtime_error("make") : task;
        },
        [=](std::int64_t task) {
          if (task == bad_take) throw std::runtime_error("take");
        });
  };
  EXPECT_EQ(ErrorOf([&] { fail_at(50, -1); }), "make");
  EXPECT_EQ(ErrorOf([&] { fail_at(-1, 50); }), "take");
  EXPECT_EQ(ErrorOf([&] { fail_at(-1, -1); }), "");
}

}  // namespace
}  // namespace fastclip
