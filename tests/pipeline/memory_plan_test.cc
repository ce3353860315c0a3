#include "pipeline/loader/memory_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "pipeline/files/system_memory.h"
#include "pipeline/files/system_memory.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/paths.h"

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
  EXPECT_NE(error.find("set at least 70254592 (67 MiB)"), std::string::npos) << error;
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

/// Bytes of this process that are in memory.
std::int64_t Resident() {
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0;
  file >> pages >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(RecordMemory, OfLargeRecordsIsGivenBackAtOnce) {
  const std::int64_t before = Resident();
  for (int again = 0; again < 4; ++again) {
    constexpr std::size_t kBytes = 20 * kMiB;
    RecordMemory large = MakeRecordMemory(kBytes);
    std::fill_n(large.get(), kBytes, std::byte{1});
    const RecordMemory behind_it = MakeRecordMemory(1000);
    EXPECT_GE(Resident(), before + 19 * kMiB);
    large.reset();
    EXPECT_LE(Resident(), before + 4 * kMiB) << again;
  }
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
  LoaderRuntime runtime;
  runtime.before_stage = [&](LoaderStage stage) {
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
    BatchLoader loader(source, plan, {0, 1}, 0, 1, tokenizer, options, runtime);
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

TEST(BatchLoader, ReadsNoMoreAtATimeThanItsMemoryHolds) {
  // Small pictures in files of 12 MiB: what follows their end is not looked at.
  std::vector<std::byte> bytes = EncodePng({8, 8, std::vector<std::uint8_t>(3 * 8 * 8, 200)});
  bytes.resize(12 * kMiB);
  FakeSource source(64);
  source.image_of = [&](std::int64_t) { return bytes; };
  const OrderPlan plan({.size = 64, .batch_size = 4, .lanes = 1, .seed = 1});
  LoaderOptions options = Options();
  options.io_threads = 6;
  options.memory_bytes = 49 * kMiB;  // four of them
  std::atomic<int> reads = 0, held = 0, most = 0;
  LoaderRuntime runtime;
  runtime.before_stage = [&](LoaderStage stage) {
    if (stage == LoaderStage::kRead) {
      const int now = ++held;
      if (++reads > options.io_threads) most = std::max<int>(most, now);  // the size is known
    }
    if (stage == LoaderStage::kDecode) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (stage == LoaderStage::kResize) --held;
  };
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, 1}, 0, 16, tokenizer, options, runtime);
  int batches = 0;
  while (loader.Next()) ++batches;
  EXPECT_EQ(batches, 16);
  EXPECT_GE(most, 2);
  EXPECT_LE(most, 4);
}

TEST(AvailableMemory, CountsWithinTheLimitsOfControlGroups) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "pod/job");
  const auto write = [&](const std::string& file, const std::string& text) {
    std::ofstream(folder / file) << text << '\n';
  };
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/pod/job"), std::nullopt);
  write("pod/job/memory.max", "max");
  write("pod/job/memory.current", "1000");
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/pod/job"), std::nullopt);
  write("pod/memory.max", "5000");
  write("pod/memory.current", "4500");
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/pod/job"), 500);
  write("pod/memory.stat", "anon 3000\ninactive_file 1200");
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/pod/job"), 1700);
  write("pod/job/memory.max", "900");
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/pod/job"), 0);
  EXPECT_EQ(MemoryLeftInGroups(folder.path(), "/"), std::nullopt);
}

}  // namespace
}  // namespace fastclip
