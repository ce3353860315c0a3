#include "comm/descriptors.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "tests/support/error_of.h"

namespace fastclip {
namespace {

std::string Refusal(int rank, int world_size, std::int64_t limit, bool served = false) {
  Launch launch;
  launch.rank = rank;
  launch.world_size = world_size;
  launch.store_is_served = served;
  return ErrorOf<std::runtime_error>([&] { CheckDescriptors(launch, limit); });
}

TEST(Descriptors, AreCountedByTheRanksThatConnect) {
  EXPECT_EQ(Refusal(0, 512, 1024),
            "rank 0 of 512 needs about 1623 open files (1559 for connections, 64 for data), but "
            "this process is limited to 1024; raise the limit with ulimit -n 1623 before the start "
            "(see ulimit -Hn for the maximum; in Docker: docker run --ulimit nofile=1623)");
  EXPECT_EQ(Refusal(0, 512, 1623), "");
  EXPECT_EQ(Refusal(1, 512, 1024), "");
  EXPECT_NE(Refusal(1, 1024, 1024).find("needs about 1098 open files"), std::string::npos);
  EXPECT_EQ(Refusal(0, 512, 1024, /*served=*/true), "") << "the launcher serves the store";
}

TEST(Descriptors, AreNeededByOneRankToo) {
  EXPECT_NE(Refusal(0, 1, 40).find("ulimit -n 74"), std::string::npos);
  EXPECT_EQ(Refusal(0, 1, 256), "");
}

}  // namespace
}  // namespace fastclip
