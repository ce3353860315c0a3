#include "pipeline/order/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

std::vector<std::int64_t> Values(std::uint64_t key, std::int64_t size) {
  const Permutation permutation(key, size);
  std::vector<std::int64_t> values;
  for (std::int64_t place = 0; place < size; ++place) values.push_back(permutation.At(place));
  return values;
}

TEST(Permutation, IsABijectionAndInverseUndoesIt) {
  for (const std::int64_t size : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 63, 64, 97, 1000, 1024, 4099}) {
    for (const std::uint64_t key : {0ull, 1ull, 0xffffffffffffffffull}) {
      std::vector<std::int64_t> values = Values(key, size);
      const Permutation permutation(key, size);
      for (std::int64_t place = 0; place < size; ++place) {
        ASSERT_EQ(permutation.Inverse(values[place]), place) << size;
      }
      std::sort(values.begin(), values.end());
      for (std::int64_t i = 0; i < size; ++i) ASSERT_EQ(values[i], i) << size;
    }
  }
}

TEST(Permutation, WorksAtTheLargestSizes) {
  for (const std::int64_t size :
       {(std::int64_t{1} << 40) - 87, std::int64_t{1} << 52, (std::int64_t{1} << 62) - 1}) {
    const Permutation permutation(5, size);
    for (const std::int64_t place : {std::int64_t{0}, size / 3, size - 1}) {
      const std::int64_t value = permutation.At(place);
      EXPECT_GE(value, 0);
      EXPECT_LT(value, size);
      EXPECT_EQ(permutation.Inverse(value), place);
    }
  }
}

TEST(Permutation, TakesEveryOrderOfFourValuesAboutEquallyOften) {
  std::map<std::vector<std::int64_t>, int> count;
  constexpr int kKeys = 24'000;
  for (int key = 0; key < kKeys; ++key) ++count[Values(Mix(key), 4)];
  EXPECT_EQ(count.size(), 24u);
  for (const auto& [order, times] : count) EXPECT_NEAR(times, kKeys / 24, 160);  // 5 sigma
}

TEST(Permutation, SendsEveryPlaceEverywhereAboutEquallyOften) {
  constexpr int kSize = 13;
  constexpr int kKeys = 13'000;
  std::vector<std::vector<int>> count(kSize, std::vector<int>(kSize));
  for (int key = 0; key < kKeys; ++key) {
    const auto values = Values(Mix(key), kSize);
    for (int place = 0; place < kSize; ++place) ++count[place][values[place]];
  }
  for (const auto& row : count) {
    for (const int times : row) EXPECT_NEAR(times, kKeys / kSize, 160);
  }
}

// Orders of stored runs hang on these numbers: they never change.
TEST(Permutation, KeepsItsFrozenVectors) {
  using V = std::vector<std::int64_t>;
  EXPECT_EQ(Values(0, 5), (V{4, 0, 3, 2, 1}));
  EXPECT_EQ(Values(42, 12), (V{1, 4, 0, 8, 6, 2, 9, 5, 10, 3, 11, 7}));
  const Permutation large(7, 2'200'000'000);
  EXPECT_EQ((V{large.At(0), large.At(1), large.At(2'199'999'999)}),
            (V{2'012'455'083, 1'200'855'780, 1'897'564'832}));
}

}  // namespace
}  // namespace fastclip
