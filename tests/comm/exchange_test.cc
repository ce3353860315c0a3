#include "comm/exchange.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/counted_communicator.h"
#include "tests/support/thread_communicator.h"

namespace fastclip {
namespace {

TEST(Exchange, GivesEveryRankWhatTheOthersSaid) {
  RunRanks(3, [](Communicator& comm) {
    const std::string mine(static_cast<std::size_t>(comm.rank()) * 5, 'a');
    EXPECT_EQ(GatherTexts(comm, mine), (std::vector<std::string>{"", "aaaaa", "aaaaaaaaaa"}));
    EXPECT_EQ(GatherNumbers(comm, -comm.rank()), (std::vector<std::int64_t>{0, -1, -2}));
    EXPECT_TRUE(AnyRank(comm, comm.rank() == 1));
    EXPECT_FALSE(AnyRank(comm, false));
  });
}

TEST(Exchange, LetsAllRanksThrowWhereOneDoes) {
  RunRanks(3, [](Communicator& comm) {
    Together(comm, [] {});
    try {
      Together(comm, [&] {
        if (comm.rank() == 1) throw std::runtime_error("the disk is full");
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "rank 1: the disk is full");
    }
  });
}

TEST(CountedCommunicator, CountsThePayloadOfEachKind) {
  RunRanks(2, [](Communicator& comm) {
    CountedCommunicator counted(comm);
    const std::vector<std::int64_t> rows = {1, 2};
    counted.AllGather(at::zeros({comm.rank() + 1, 4}, at::kFloat), rows);
    at::Tensor values = at::zeros({5}, at::kDouble);
    counted.AllReduceSum(values);
    counted.StartAllReduceSum(values)->Wait();
    counted.Broadcast(values, 0);
    EXPECT_EQ(counted.traffic().gathered, 3 * 4 * 4);
    EXPECT_EQ(counted.traffic().summed, 2 * 5 * 8);
    EXPECT_EQ(counted.traffic().broadcast, 5 * 8);
  });
}

TEST(CountedCommunicator, CountsNothingInAWorldOfOne) {
  const auto one = WorldOfOne();
  CountedCommunicator counted(*one);
  at::Tensor values = at::zeros({5});
  counted.AllReduceSum(values);
  EXPECT_EQ(counted.traffic().summed, 0);
}

}  // namespace
}  // namespace fastclip
