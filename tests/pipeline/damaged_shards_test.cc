#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pipeline/batch_loader.h"
#include "pipeline/image.h"
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
      for (int cause = 0; cause < kSkipCauses; ++cause) all.skips[cause] += batch.skips()[cause];
    }
  }
  for (const auto& loader : loaders) EXPECT_FALSE(loader->Next().has_value());
  return all;
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
  EXPECT_GT(expected.skips[static_cast<int>(Skip::kNoImage)], 0);
  EXPECT_GT(expected.skips[static_cast<int>(Skip::kNoCaption)], 0);
  EXPECT_GT(expected.skips[static_cast<int>(Skip::kUndecodable)], 0);
  EXPECT_GT(expected.skips[static_cast<int>(Skip::kTruncated)], 0);
  EXPECT_GT(expected.skips[static_cast<int>(Skip::kMissing)], 0);

  for (const auto& [world, threads] : {std::pair(1, 8), {2, 2}, {4, 1}}) {
    EXPECT_TRUE(MakeBatches(*source, plan, steps, world, threads) == expected)
        << "world " << world << ", " << threads << " threads";
  }
}

}  // namespace
}  // namespace fastclip
