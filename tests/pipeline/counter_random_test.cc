#include "pipeline/base/counter_random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace fastclip {
namespace {

TEST(CounterRandom, IsSplitMix64) {
  // The published sequence of SplitMix64 from the seed 1234567.
  CounterRandom random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317ULL);
  EXPECT_EQ(random.Next(), 3203168211198807973ULL);
  EXPECT_EQ(random.Next(), 9817491932198370423ULL);
  EXPECT_EQ(random.Next(), 4593380528125082431ULL);
  EXPECT_EQ(random.Next(), 16408922859458223821ULL);
}

TEST(CounterRandom, KeepsItsFrozenVectors) {
  // Written once: stored runs hang on them.
  EXPECT_EQ(Mix(0), 16294208416658607535ULL);
  EXPECT_EQ(Mix(1, 2), 13608149317741381227ULL);
  EXPECT_EQ(Mix(2, 1), 16171810823986729605ULL);
  EXPECT_EQ(Mix(7, 1, 3, 41), 1534198693625449717ULL);
  CounterRandom random(7, RandomStream::kCrop, 3, 41);
  EXPECT_EQ(random.Next(), 8802679048266705238ULL);
  EXPECT_EQ(random.Uniform(), 0x1.b76068961e34dp-1);
  EXPECT_EQ(random.Below(1000), 922u);
}

TEST(CounterRandom, DrawsEveryNumberBelowEquallyOften) {
  std::array<int, 7> counts{};
  CounterRandom random(5, RandomStream::kCaption, 0, 0);
  for (int draw = 0; draw < 70'000; ++draw) ++counts[random.Below(7)];
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);  // five standard deviations
}

TEST(CounterRandom, StaysBelowOneAndBelowN) {
  CounterRandom random(1, RandomStream::kCrop, 2, 3);
  const std::uint64_t large = (1ULL << 63) + 1;  // nearly every second draw is taken again
  for (int draw = 0; draw < 10'000; ++draw) {
    const double uniform = random.Uniform();
    EXPECT_GE(uniform, 0);
    EXPECT_LT(uniform, 1);
    EXPECT_LT(random.Below(large), large);
    EXPECT_EQ(random.Below(1), 0u);
  }
}

TEST(CounterRandom, GivesOtherNumbersForEveryWordOfTheKey) {
  const auto first = [](std::uint64_t seed, RandomStream stream, std::uint64_t a, std::uint64_t b) {
    return CounterRandom(seed, stream, a, b).Next();
  };
  const std::uint64_t base = first(1, RandomStream::kCrop, 1, 1);
  EXPECT_NE(base, first(2, RandomStream::kCrop, 1, 1));
  EXPECT_NE(base, first(1, RandomStream::kCaption, 1, 1));
  EXPECT_NE(base, first(1, RandomStream::kCrop, 2, 1));
  EXPECT_NE(base, first(1, RandomStream::kCrop, 1, 2));
}

}  // namespace
}  // namespace fastclip
