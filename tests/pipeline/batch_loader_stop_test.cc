#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <latch>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include "pipeline/loader/batch_loader.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/support/error_of.h"

// How a loader ends: by its consumer, by what it died of, by data that is not worth going on.

namespace fastclip {
namespace {

TEST(BatchLoader, StopsAtOnceWhenTheConsumerLeaves) {
  const FakeSource source(4000);
  const OrderPlan plan({.size = 4000, .batch_size = 64});
  const ByteTokenizer tokenizer;
  std::optional<Batch> kept;
  for (int taken = 0; taken < 3; ++taken) {
    BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, plan.steps(50), tokenizer,
                       Options());
    for (int i = 0; i < taken; ++i) kept = loader.Next();
  }
  EXPECT_EQ(kept->step(), 1);  // a batch outlives its loader
  EXPECT_EQ(kept->indices().size(), 64u);
}

TEST(BatchLoader, LeavesNoThreadBehind) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                         std::filesystem::directory_iterator());
  };
  const auto before = threads();
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const ByteTokenizer tokenizer;
  {
    BatchLoader one(source, plan, {0, 8}, 0, 6, tokenizer, Options(4));
    BatchLoader other(source, plan, {8, 16}, 0, 6, tokenizer, Options(4));
    one.Next();
    other.Next();
  }
  // A joined thread may stay listed for the blink that the kernel needs to bury it.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (threads() != before && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(threads(), before);
}

TEST(BatchLoader, StopsWhileItsSourceBlocks) {
  FakeSource source(400);
  std::latch reading(1);
  std::atomic<bool> counted = false;
  source.before_read = [&](std::int64_t, std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any waiting;
    std::unique_lock lock(mutex);
    if (!counted.exchange(true)) reading.count_down();
    waiting.wait(lock, stop, [] { return false; });
    throw std::runtime_error("stopped");
  };
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 4, tokenizer, Options());
  reading.wait();
}

TEST(BatchLoader, KnowsWhetherItsNextBatchIsThere) {
  FakeSource source(400);
  std::latch may_read(1);
  source.before_read = [&](std::int64_t, std::stop_token) { may_read.wait(); };
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 2, tokenizer, Options());
  EXPECT_FALSE(loader.HasNext());
  may_read.count_down();
  while (!loader.HasNext(2)) std::this_thread::yield();
  EXPECT_EQ(loader.Next()->step(), 0);
  EXPECT_TRUE(loader.HasNext());
  EXPECT_FALSE(loader.HasNext(2));
  EXPECT_EQ(loader.Next()->step(), 1);
  EXPECT_FALSE(loader.HasNext());  // it was the last
}

TEST(BatchLoader, HandsOnWhatAReaderDiedOf) {
  FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const std::int64_t broken = ToInt(plan.Row(2, 30)->index);
  source.before_read = [&](std::int64_t i, std::stop_token) {
    if (i == broken) throw std::runtime_error("shard 7, offset 512: input/output error");
  };
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 6, tokenizer, Options());
  EXPECT_EQ(loader.Next()->step(), 0);
  EXPECT_EQ(loader.Next()->step(), 1);
  for (int again = 0; again < 2; ++again) {
    try {
      loader.Next();
      FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "shard 7, offset 512: input/output error");
    }
    EXPECT_FALSE(loader.HasNext());
  }
}

TEST(BatchLoader, HandsOnWhatAWorkerDiedOf) {
  const FakeSource source(400);
  const OrderPlan plan({.size = 400, .batch_size = 64});
  ByteTokenizer tokenizer;
  tokenizer.before_encode = [](std::string_view) { throw std::bad_alloc(); };
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 6, tokenizer, Options());
  EXPECT_THROW(loader.Next(), std::bad_alloc);
}

TEST(BatchLoader, SaysWhatUsedAWindowUp) {
  FakeSource source(64);
  for (std::int64_t i = 0; i < 64; ++i) source.bad[i] = Skip::kMissing;
  const OrderPlan plan({.size = 64, .batch_size = 16, .lanes = 4});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, 4}, 0, 4, tokenizer, Options());
  try {
    loader.Next();
    FAIL() << "no exception";
  } catch (const WindowUsedUp& error) {
    EXPECT_NE(std::string(error.what()).find("(tried: 4 missing)"), std::string::npos)
        << error.what();
  }
}

TEST(BatchLoader, StopsAtTooManyBadRecordsInARow) {
  FakeSource source(4000);
  for (std::int64_t i = 0; i < 4000; ++i) source.bad[i] = i % 2 ? Skip::kMissing : Skip::kNoImage;
  const OrderPlan plan({.size = 4000, .batch_size = 4});
  const ByteTokenizer tokenizer;
  LoaderOptions options = Options();
  options.max_skips_in_a_row = 50;
  const auto error_of = [](BatchLoader& loader) {
    return ErrorOf<std::runtime_error>([&] { loader.Next(); });
  };
  BatchLoader training(source, plan, {0, 1}, 0, 4, tokenizer, options);
  EXPECT_EQ(error_of(training).find("50 records in a row cannot be used ("), 0u);
  BatchLoader evaluation(source, SampleIndex{0}, SampleIndex{4000}, 20, tokenizer, options);
  EXPECT_EQ(evaluation.Next()->rows(), 0);
  EXPECT_EQ(evaluation.Next()->rows(), 0);
  EXPECT_EQ(error_of(evaluation)
                .find("50 records in a row cannot be used (25 no_image, 25 missing"
                      "), up to record 49; "),
            0u);
}

TEST(BatchLoader, GivesUpWaitingWhereItsConsumerIsAskedToStop) {
  FakeSource source(400);
  std::latch reading(1);
  std::atomic<bool> counted = false;
  std::stop_source unblock;
  source.before_read = [&](std::int64_t, std::stop_token) {
    std::mutex mutex;
    std::condition_variable_any waiting;
    std::unique_lock lock(mutex);
    if (!counted.exchange(true)) reading.count_down();
    waiting.wait(lock, unblock.get_token(), [] { return false; });
  };
  const OrderPlan plan({.size = 400, .batch_size = 64});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, plan.options().lanes}, 0, 4, tokenizer, Options());
  std::stop_source stop;
  std::jthread user([&] {
    reading.wait();
    stop.request_stop();
  });
  EXPECT_FALSE(loader.Next(stop.get_token()).has_value());
  EXPECT_FALSE(loader.Next(stop.get_token()).has_value());
  unblock.request_stop();
  EXPECT_EQ(loader.Next()->step(), 0);  // nothing was lost
}

}  // namespace
}  // namespace fastclip
