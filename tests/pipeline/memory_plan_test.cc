#include "pipeline/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/pipeline/loader_fixture.h"
#include "tests/pipeline/shard_files.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(MemoryPlan, WithoutALimitIsWhatPrefetchNeeds) {
  LoaderOptions options;
  options.prefetch = 7;
  EXPECT_EQ(PlanMemory(options, 64).batches, 7);
  EXPECT_EQ(PlanMemory(options, 64).records, 256 * kMiB);
}

TEST(MemoryPlan, MakesFewerBatchesAheadWhereTheyDoNotFit) {
  LoaderOptions options;  // 224 pixels: 9.2 MiB a batch of 64
  options.prefetch = 100;
  options.memory_bytes = 200 * kMiB;
  const MemoryPlan plan = PlanMemory(options, 64);
  EXPECT_GE(plan.batches, 10);
  EXPECT_LE(plan.batches, 16);
  EXPECT_GE(plan.records, 48 * kMiB);
  EXPECT_LE(plan.records + (plan.batches + 1) * 9 * kMiB, 200 * kMiB);
}

TEST(MemoryPlan, NamesTheLeastThatWorks) {
  LoaderOptions options;
  options.memory_bytes = 66 * kMiB;
  const std::string error = ErrorOf([&] { PlanMemory(options, 64); });
  EXPECT_NE(error.find("give it 67 MiB or more"), std::string::npos) << error;
  options.memory_bytes = 67 * kMiB;
  EXPECT_EQ(PlanMemory(options, 64).batches, 1);
}

/// Pictures of 12 megapixels, which take 91 MiB to decode, however small their files are.
FakeSource LargePictures() {
  Image image{4000, 3000, std::vector<std::uint8_t>(std::size_t{3} * 4000 * 3000, 200)};
  const std::vector<std::byte> bytes = EncodePng(image);
  FakeSource source(64);
  source.image_of = [bytes](std::int64_t) { return bytes; };
  return source;
}

TEST(DecodeMemory, IsToldByTheHeader) {
  const FakeSource source = LargePictures();
  EXPECT_EQ(DecodeMemory(source.image_of(0)), std::int64_t{8} * 4000 * 3000);
  EXPECT_EQ(DecodeMemory(AsBytes("no picture")), 0);
}

TEST(BatchLoader, DecodesNoMoreAtATimeThanItsMemoryHolds) {
  const FakeSource source = LargePictures();
  const OrderPlan plan({.size = 64, .batch_size = 4, .lanes = 1, .seed = 1});
  LoaderOptions options = Options();
  options.threads = 4;
  options.io_threads = 4;
  std::atomic<int> decoding = 0, most = 0;
  options.before_stage = [&](LoaderStage stage) {
    if (stage == LoaderStage::kDecode) {
      const int now = ++decoding;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (stage == LoaderStage::kResize) --decoding;
  };
  const ByteTokenizer tokenizer;
  const auto take_two = [&] {
    most = decoding = 0;
    BatchLoader loader(source, plan, {0, 1}, 0, 1, tokenizer, options);
    EXPECT_TRUE(loader.Next().has_value());
    return most.load();
  };
  options.memory_bytes = 0;  // 256 MiB of records: two of 91
  EXPECT_LE(take_two(), 2);
  options.memory_bytes = 100 * kMiB;
  EXPECT_EQ(take_two(), 1);
  options.memory_bytes = 60 * kMiB;  // less than one takes: it goes alone
  EXPECT_EQ(take_two(), 1);
  options.memory_bytes = 1000 * kMiB;
  EXPECT_GE(take_two(), 3);
}

}  // namespace
}  // namespace fastclip
