#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pipeline/loader/batch_loader.h"
#include "pipeline/pixels/image.h"
#include "pipeline/sources/open_source.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/support/paths.h"

namespace fastclip {
namespace {

constexpr int kShards = 6;
constexpr int kRecords = 40;

/// Six shards: sound, with cut and alien images, without some captions and images, cut in the
/// middle, of no use at all, and one that vanishes once it is indexed.
std::unique_ptr<RecordSource> OpenDamagedShards(const TemporaryFolder& folder) {
  for (int shard = 0; shard < kShards; ++shard) {
    Members members;
    for (int i = 0; i < kRecords; ++i) {
      const std::string key = std::to_string(1000 * shard + i);
      std::string image = AsString(PngOf(1000 * shard + i));
      if (shard == 1 && i % 5 == 0) image.resize(image.size() / 2);
      if (shard == 1 && i % 5 == 1) image = "<html>404</html>";
      if (shard == 4) image = "nothing";
      if (shard != 2 || i % 4 != 0) members.emplace_back(key + ".png", image);
      if (shard != 2 || i % 4 != 1) members.emplace_back(key + ".txt", "picture " + key);
      if (shard == 2) members.emplace_back(key + ".json", "{}");
    }
    WriteShard(folder / std::to_string(shard) + ".tar", members);
  }
  std::filesystem::resize_file(folder / "3.tar",
                               std::filesystem::file_size(folder / "3.tar") / 2 + 100);
  auto source = OpenSource(folder / "{0..5}.tar");
  std::filesystem::remove(folder / "5.tar");
  return source;
}

bool IsUsable(const RecordSource& source, SampleIndex index) {
  const RecordBlock block = source.Read(index, 1, {});
  const Record& record = block.records[0];
  return !record.skip && std::holds_alternative<Image>(DecodeImage(record.image));
}

timespec Time(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return status.st_mtim;
}

struct Batches {
  std::vector<std::vector<std::int64_t>> indices;
  std::vector<std::uint8_t> pixels;
  std::vector<TokenId> tokens;
  SkipCounts skips{};
  bool operator==(const Batches&) const = default;
};

Batches MakeBatches(const RecordSource& source, const OrderPlan& plan, std::int64_t steps,
                    int world, int threads) {
  const ByteTokenizer tokenizer;
  LoaderOptions options;
  options.image_size = 8;
  options.context_length = 16;
  options.threads = threads;
  std::vector<std::unique_ptr<BatchLoader>> loaders;
  for (int rank = 0; rank < world; ++rank) {
    loaders.push_back(std::make_unique<BatchLoader>(
        source, plan, plan.LanesOf(rank, plan.EvenLanes(world)), 0, steps, tokenizer, options));
  }
  Batches all;
  for (std::int64_t step = 0; step < steps; ++step) {
    auto& indices = all.indices.emplace_back();
    for (const auto& loader : loaders) {
      const Batch batch = loader->Next().value();  // every rank has as many
      indices.insert(indices.end(), batch.indices().begin(), batch.indices().end());
      all.pixels.insert(all.pixels.end(), batch.pixels().begin(), batch.pixels().end());
      all.tokens.insert(all.tokens.end(), batch.tokens().begin(), batch.tokens().end());
      all.skips += batch.skips();
    }
  }
  for (const auto& loader : loaders) EXPECT_FALSE(loader->Next().has_value());
  return all;
}

TEST(DamagedShards, AreJudgedRecordByRecord) {
  const TemporaryFolder folder;
  WriteShard(folder / "0.tar", PlainMembers(12));
  const std::string whole = ReadFile(folder / "0.tar");
  const auto read = [](const RecordSource& source, std::int64_t first, int count) {
    std::vector<std::string> records;
    const RecordBlock block = source.Read(SampleIndex{first}, count, {});
    for (const Record& record : block.records) {
      std::string text = std::string(record.key) + AsString(record.image);
      for (const Caption& caption : record.captions) text += caption.text;
      records.push_back(text + (record.skip ? SkipName(*record.skip) : ""));
    }
    return records;
  };
  // One header after the other is damaged behind the index's back.
  const auto source = OpenSource(folder / "0.tar");
  for (std::size_t at = 0; at + 512 < whole.size(); at += 512) {
    if (whole.compare(at + 257, 5, "ustar") != 0) continue;
    for (const int place : {0, 124, 148, 156, 257}) {
      const int fd = open((folder / "0.tar").c_str(), O_WRONLY);
      const timespec before[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, Time(folder / "0.tar")};
      const auto put = static_cast<off_t>(at) + place;
      ASSERT_EQ(pwrite(fd, "L\xff", 2, put), 2);
      ASSERT_EQ(futimens(fd, before), 0);
      const auto together = read(*source, 0, 12);
      for (std::int64_t i = 0; i < 12; ++i) {
        ASSERT_EQ(read(*source, i, 1).front(), together[static_cast<std::size_t>(i)])
            << "record " << i << ", byte " << put;
      }
      ASSERT_EQ(pwrite(fd, whole.data() + put, 2, put), 2);
      ASSERT_EQ(futimens(fd, before), 0);
      close(fd);
    }
  }
}

TEST(DamagedShards, StillGiveEveryRankThePlannedBatches) {
  const TemporaryFolder folder;
  const auto source = OpenDamagedShards(folder);
  ASSERT_GT(source->size(), 5 * kRecords);
  const OrderPlan plan({.size = source->size(), .batch_size = 16, .seed = 3});
  const std::int64_t steps = plan.steps(2);
  const Batches expected = MakeBatches(*source, plan, steps, 1, 1);

  for (std::int64_t step = 0; step < steps; ++step) {
    const auto& indices = expected.indices[step];
    ASSERT_EQ(indices.size(), 16u);
    EXPECT_EQ(std::set(indices.begin(), indices.end()).size(), 16u);
    for (int row = 0; row < 16; ++row) {
      for (std::int64_t attempt = 0;; ++attempt) {
        const auto planned = plan.Row(step, row, attempt);
        if (!planned || !IsUsable(*source, planned->index)) continue;
        EXPECT_EQ(indices[row], ToInt(planned->index));
        break;
      }
    }
  }
  EXPECT_GT(expected.skips[Skip::kNoImage], 0);
  EXPECT_GT(expected.skips[Skip::kNoCaption], 0);
  EXPECT_GT(expected.skips[Skip::kUndecodable], 0);
  EXPECT_GT(expected.skips[Skip::kTruncated], 0);
  EXPECT_GT(expected.skips[Skip::kMissing], 0);

  for (const auto& [world, threads] : {std::pair(1, 8), {2, 2}, {4, 1}}) {
    EXPECT_TRUE(MakeBatches(*source, plan, steps, world, threads) == expected)
        << "world " << world << ", " << threads << " threads";
  }
}

}  // namespace
}  // namespace fastclip
