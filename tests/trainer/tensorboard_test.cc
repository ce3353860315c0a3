#include "trainer/log/tensorboard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <vector>

#include "tests/support/paths.h"
#include "trainer/base/file_io.h"
#include "trainer/log/run_log.h"

namespace fastclip {
namespace {

template <class T>
T Fixed(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.substr(at, sizeof value).data(), sizeof value);
  return value;
}

// The record format undone, with the mask's inverse, not with the writer's own.
std::vector<std::string> Records(std::string_view file) {
  const auto unmask = [](std::uint32_t masked) { return std::rotl(masked - 0xa282ead8u, 15); };
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto size = Fixed<std::uint64_t>(file, at);
    EXPECT_EQ(unmask(Fixed<std::uint32_t>(file, at + 8)), Crc32c(file.substr(at, 8)));
    records.emplace_back(file.substr(at + 12, size));
    EXPECT_EQ(unmask(Fixed<std::uint32_t>(file, at + 12 + size)), Crc32c(records.back()));
    at += 16 + size;
  }
  return records;
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const unsigned char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    hex += {kDigits[c >> 4], kDigits[c & 15]};
  }
  return hex;
}

TEST(Crc32c, EqualsTheVectorsOfRfc3720) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) {
    rising.push_back(static_cast<char>(i));
    falling.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
}

TEST(TensorboardWriter, WritesTheBytesOfEventProto) {
  const TemporaryFolder folder;
  TensorboardWriter writer(folder / "tensorboard", 300);
  const std::array<TensorboardWriter::Scalar, 2> scalars = {{{"loss", 0.5}, {"tau", -2.0}}};
  writer.Write(300, scalars);
  const auto records = Records(ReadWholeFile(writer.path(), 1 << 20));
  ASSERT_EQ(records.size(), 3u);
  for (const std::string& record : records) {
    EXPECT_EQ(record[0], 0x09);  // field 1, fixed64: the time
    const auto time = Fixed<double>(record, 1);
    EXPECT_GT(time, 1.7e9);
    EXPECT_LT(time, 1e10);
    EXPECT_EQ(Hex(record.substr(9, 3)), "10ac02");  // field 2, varint: 300
  }
  EXPECT_EQ(records[0].substr(12),
            "\x1a\x0d"
            "brain.Event:2");
  EXPECT_EQ(Hex(records[1].substr(12)), "3a020801");
  EXPECT_EQ(Hex(records[2].substr(12)),
            "2a19"  // field 5: the summary, 25 bytes
            "0a0b"
            "0a046c6f7373"
            "150000003f"  // value: tag "loss", 0.5f
            "0a0a"
            "0a03746175"
            "15000000c0");  // value: tag "tau", -2f
}

TEST(TensorboardWriter, OpensAFileOfItsOwnAtEachStart) {
  const TemporaryFolder folder;
  std::vector<std::string> paths;
  for (int start = 0; start < 5; ++start) {
    paths.push_back(TensorboardWriter(folder / "tensorboard", start).path());
    EXPECT_EQ(std::filesystem::path(paths.back()).filename().string().find("events.out.tfevents."),
              0u);
  }
  EXPECT_TRUE(std::ranges::is_sorted(paths));
  EXPECT_EQ(std::ranges::adjacent_find(paths), paths.end());
}

// The checkpoint of step 3 comes after the event of step 3, which a resume does not repeat.
TEST(RunLog, StartsBehindTheCheckpointsStep) {
  const TemporaryFolder folder;
  const RunLog log(folder.path(), 0, 3);
  const auto file = *std::filesystem::directory_iterator(folder / "tensorboard");
  for (const std::string& record : Records(ReadWholeFile(file.path(), 1 << 20))) {
    EXPECT_EQ(Hex(record.substr(9, 2)), "1004");  // field 2, varint: 4
  }
}

}  // namespace
}  // namespace fastclip
