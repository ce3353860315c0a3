#include "pipeline/loader/batch_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "pipeline/pixels/resize.h"
#include "tests/pipeline/loader_fixture.h"

namespace fastclip {
namespace {

/// A batch's contents, kept after the batch is gone.
struct Contents {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<TokenId> tokens;
  std::vector<std::int64_t> pool, caption_row, indices;
  std::vector<std::int64_t> labels;
  SkipCounts skips{};
  std::vector<SkippedRecord> skipped;  // by index
  bool operator==(const Contents&) const = default;
};

template <class T>
void Append(std::vector<T>& to, std::type_identity_t<std::span<const T>> from) {
  to.insert(to.end(), from.begin(), from.end());
}

void Join(Contents& global, const Batch& batch) {
  const auto rows = static_cast<std::int64_t>(global.indices.size());
  global.step = batch.step();
  global.epoch = batch.epoch();
  Append(global.pixels, batch.pixels());
  Append(global.tokens, batch.tokens());
  Append(global.pool, batch.pool());
  for (const std::int64_t row : batch.caption_row()) global.caption_row.push_back(rows + row);
  Append(global.indices, batch.indices());
  Append(global.labels, batch.labels());
  global.skips += batch.skips();
  Append(global.skipped, batch.skipped());
  std::ranges::sort(global.skipped, {}, &SkippedRecord::index);
}

/// The global batches of the steps [first, last), made by `world` loaders.
std::vector<Contents> MakeBatches(const RecordSource& source, const OrderPlan& plan,
                                  std::int64_t first, std::int64_t last, int world,
                                  const LoaderOptions& options, const LoaderRuntime& runtime = {}) {
  const ByteTokenizer tokenizer;
  std::vector<std::unique_ptr<BatchLoader>> loaders;
  for (int rank = 0; rank < world; ++rank) {
    loaders.push_back(std::make_unique<BatchLoader>(source, plan,
                                                    plan.LanesOf(rank, plan.EvenLanes(world)),
                                                    first, last, tokenizer, options, runtime));
  }
  std::vector<Contents> batches;
  for (std::int64_t step = first; step < last; ++step) {
    Contents& global = batches.emplace_back();
    for (auto& loader : loaders) Join(global, loader->Next().value());
  }
  for (auto& loader : loaders) EXPECT_FALSE(loader->Next().has_value());
  return batches;
}

TEST(BatchLoader, MakesThePlannedRows) {
  const FakeSource source(120);
  const OrderPlan plan({.size = 120, .batch_size = 16, .seed = 5});
  const auto batches =
      MakeBatches(source, plan, plan.steps(1) - 1, plan.steps(1) + 2, 1, Options());
  ASSERT_EQ(batches.size(), 3u);
  const ByteTokenizer tokenizer;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const Contents& batch = batches[b];
    EXPECT_EQ(batch.step, plan.steps(1) - 1 + static_cast<std::int64_t>(b));
    EXPECT_EQ(batch.epoch, b == 0 ? 0 : 1);
    EXPECT_EQ(batch.pixels.size(), 16u * kSide * kSide * 3);
    EXPECT_EQ(batch.tokens.size(), 16u * kContext);
    EXPECT_EQ(batch.skips, SkipCounts{});
    for (int row = 0; row < 16; ++row) {
      const RowPlan planned = plan.Row(batch.step, row).value();
      EXPECT_EQ(batch.indices[row], ToInt(planned.index));
      EXPECT_EQ(batch.labels[row], ToInt(planned.index) % 10);
      EXPECT_EQ(batch.caption_row[row], row);

      const RecordBlock block = source.Read(planned.index, 1, {});
      const int caption = ChooseCaption(block.records[0].captions, 5, batch.epoch, planned.index);
      std::vector<TokenId> tokens(kContext);
      EXPECT_EQ(batch.pool[row],
                EncodeContext(tokenizer, block.records[0].captions[caption].text, tokens));
      EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), batch.tokens.begin() + row * kContext));

      const Image image = std::get<Image>(DecodeImage(block.records[0].image));
      const CropBox box = RandomCrop(image.width, image.height, {}, 5, batch.epoch, planned.index);
      std::vector<std::uint8_t> pixels(kSide * kSide * 3);
      ResizeBicubic(image, box, kSide, kSide, pixels);
      EXPECT_TRUE(
          std::equal(pixels.begin(), pixels.end(), batch.pixels.begin() + row * kSide * kSide * 3));
    }
  }
}

TEST(BatchLoader, MakesEqualBatchesForEveryThreadCountAndWorld) {
  const FakeSource source = DirtySource(403);
  const OrderPlan plan(
      {.size = 403, .batch_size = 32, .lanes = 8, .chunk = 2, .window = 52, .seed = 9});
  const auto expected = MakeBatches(source, plan, 3, plan.steps(1) + 4, 1, Options(1));
  for (const int threads : {1, 2, 8}) {
    for (const int world : {1, 2, 3, 4}) {
      LoaderOptions options = Options(threads);
      options.io_threads = 1 + threads % 3;
      options.prefetch = 1 + world % 3;
      options.memory_bytes = world == 3 ? 50 << 20 : 0;
      EXPECT_TRUE(MakeBatches(source, plan, 3, plan.steps(1) + 4, world, options) == expected)
          << threads << " threads, world " << world;
    }
  }
}

TEST(BatchLoader, GivesEveryRankThePlannedBatchesOverBadRecords) {
  const FakeSource source = DirtySource(403);
  const OrderPlan plan({.size = 403, .batch_size = 32, .lanes = 8, .seed = 2});
  const auto is_bad = [&](std::int64_t i) {
    return source.bad.contains(i) || source.damaged.contains(i);
  };
  for (const Contents& batch : MakeBatches(source, plan, 0, plan.steps(2), 2, Options())) {
    EXPECT_EQ(batch.indices.size(), 32u);
    EXPECT_EQ(std::set(batch.indices.begin(), batch.indices.end()).size(), 32u);
    SkipCounts skips{};
    for (int row = 0; row < 32; ++row) {
      for (std::int64_t attempt = 0;; ++attempt) {
        const auto planned = plan.Row(batch.step, row, attempt);
        if (!planned) continue;
        const std::int64_t index = ToInt(planned->index);
        if (!is_bad(index)) {
          EXPECT_EQ(batch.indices[row], index);
          break;
        }
        ++skips[source.bad.contains(index) ? source.bad.at(index) : Skip::kTruncated];
      }
    }
    EXPECT_EQ(batch.skips, skips);
  }
}

TEST(BatchLoader, ReadsNoRecordAgainThatIsKnownToBeBad) {
  FakeSource source = DirtySource(403);
  const OrderPlan plan({.size = 403, .batch_size = 32, .lanes = 8, .seed = 2});
  const auto expected = MakeBatches(source, plan, 0, plan.steps(2), 2, Options());

  KnownBad known;
  EXPECT_TRUE(MakeBatches(source, plan, 0, plan.steps(2), 1, Options(), {.known_bad = &known}) ==
              expected);
  int bad = 0;
  for (std::int64_t i = 0; i < source.size(); ++i) {
    const auto found = known.Find(SampleIndex{i});
    if (!found) continue;
    EXPECT_NE(found->cause, Skip::kMissing);  // it may come back
    ++bad;
    EXPECT_EQ(found->cause, source.bad.contains(i) ? source.bad.at(i) : Skip::kTruncated);
  }
  EXPECT_GT(bad, 20);

  std::atomic<int> bad_reads = 0;
  source.before_read = [&](std::int64_t i, std::stop_token) {
    const bool missing = source.bad.contains(i) && source.bad.at(i) == Skip::kMissing;
    bad_reads += !missing && (source.bad.contains(i) || source.damaged.contains(i)) ? 1 : 0;
  };
  EXPECT_TRUE(MakeBatches(source, plan, 0, plan.steps(2), 2, Options(), {.known_bad = &known}) ==
              expected);
  EXPECT_EQ(bad_reads, 0);
}

TEST(BatchLoader, ReadsChunksAheadWhereTheyFitTheCache) {
  FakeSource source(4000);
  const OrderPlan plan({.size = 4000, .batch_size = 16, .lanes = 2, .chunk = 10, .window = 100});
  std::mutex mutex;
  std::map<std::int64_t, int> ahead;
  source.on_read_ahead = [&](std::int64_t first, int count) {
    EXPECT_EQ(count, 10);
    const std::lock_guard lock(mutex);
    ++ahead[first];
  };
  LoaderOptions options = Options();
  const auto expected = MakeBatches(source, plan, 0, 60, 2, options);
  EXPECT_GE(ahead.size(), 2u * (60 * 8 / 10 - 1));
  for (const auto& [first, times] : ahead) EXPECT_EQ(times, 1) << first;

  for (const std::int64_t bytes : {0, 20'000}) {  // 400 records of some 100 bytes
    ahead.clear();
    options.read_ahead_bytes = bytes;
    EXPECT_TRUE(MakeBatches(source, plan, 0, 60, 2, options) == expected);
    EXPECT_EQ(ahead.size(), 0u) << bytes;
  }
}

TEST(BatchLoader, RunsAsManyWorkersAsItIsTold) {
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 64});
  ByteTokenizer tokenizer;
  std::latch all_there(5);  // more than the cores of a small machine
  std::atomic<int> arrived = 0;
  tokenizer.before_encode = [&](std::string_view) {
    if (arrived++ < 5) all_there.arrive_and_wait();
  };
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 1, tokenizer, Options(5));
  EXPECT_EQ(loader.Next()->rows(), 64);
}

TEST(BatchLoader, UsesItsMemoryAgain) {
  class Counting final : public std::pmr::memory_resource {
   public:
    std::atomic<int> blocks = 0;

   private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      ++blocks;
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override {
      return this == &other;
    }
  } memory;
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 40});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, plan.steps(3), tokenizer,
                     Options(), {.memory = &memory});
  while (loader.Next()) {
  }
  // Three made ahead, one at the consumer; six arrays each.
  EXPECT_LE(memory.blocks, 4 * 6);
  EXPECT_GT(memory.blocks, 0);
}

TEST(BatchLoader, CountsWhatItsStagesDid) {
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 40});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 5, tokenizer, Options());
  while (loader.Next()) {
  }
  const LoaderStats stats = loader.stats();
  for (const auto& stage : {stats.read, stats.decode, stats.resize, stats.tokenize}) {
    EXPECT_EQ(stage.items, 200);
    EXPECT_GT(stage.bytes, 0);
    EXPECT_GT(stage.busy_seconds, 0);
  }
  EXPECT_GT(stats.starved_seconds, 0);
}

TEST(BatchLoader, RefusesOptionsThatCannotWork) {
  const FakeSource source(40);
  const ByteTokenizer tokenizer;
  LoaderOptions options = Options();
  options.prefetch = 0;
  EXPECT_THROW(BatchLoader(source, SampleIndex{0}, SampleIndex{40}, 8, tokenizer, options),
               std::invalid_argument);
}

TEST(BatchLoader, RefusesMoreThanItsTypesAndTheMachineCanHold) {
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const ByteTokenizer tokenizer;
  const auto open = [&](const LoaderOptions& options) {
    BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 1, tokenizer, options);
  };
  LoaderOptions options = Options();
  options.threads = 257;
  EXPECT_THROW(open(options), std::invalid_argument);
  options = Options();
  options.image_size = 8193;
  EXPECT_THROW(open(options), std::invalid_argument);
  const std::int64_t wraps_to_8 = (std::int64_t{1} << 32) + 8;
  const OrderPlan huge({.size = 2 * wraps_to_8, .batch_size = wraps_to_8, .lanes = 1});
  EXPECT_THROW(BatchLoader(source, huge, {0, 1}, 0, 1, tokenizer, Options()),
               std::invalid_argument);
}

}  // namespace
}  // namespace fastclip
