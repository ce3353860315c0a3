#include "tests/support/thread_communicator.h"

#include <gtest/gtest.h>

namespace fastclip {
namespace {

at::Tensor Row(int rank) { return at::full({1, 2}, static_cast<double>(rank + 1), at::kDouble); }

TEST(ThreadCommunicator, GathersSumsAndSharesInRankOrder) {
  const std::vector<std::int64_t> rows = {1, 1, 1, 1};
  RunRanks(4, [&](Communicator& comm) {
    const at::Tensor all = comm.AllGather(Row(comm.rank()), rows);
    EXPECT_TRUE(all.select(1, 0).equal(at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble)));
    at::Tensor sum = Row(comm.rank());
    comm.AllReduceSum(sum);
    EXPECT_EQ(sum[0][1].item<double>(), 10);
    at::Tensor started = Row(comm.rank());
    comm.StartAllReduceSum(started)->Wait();
    EXPECT_EQ(started[0][1].item<double>(), 10);
    const at::Tensor share = comm.ReduceScatterSum(all);
    EXPECT_EQ(share.size(0), 1);
    EXPECT_EQ(share[0][0].item<double>(), 4 * (comm.rank() + 1));
    at::Tensor told = Row(comm.rank());
    comm.Broadcast(told, 2);
    EXPECT_EQ(told[0][0].item<double>(), 3);
    comm.Barrier();
  });
}

TEST(ThreadCommunicator, LetsAllFailWhereOneDoes) {
  EXPECT_THROW(RunRanks(3,
                        [](Communicator& comm) {
                          if (comm.rank() == 1) throw std::runtime_error("broken");
                          comm.Barrier();
                        }),
               std::runtime_error);
}

TEST(ThreadCommunicator, NoticesUnlikeCalls) {
  EXPECT_THROW(RunRanks(2,
                        [](Communicator& comm) {
                          at::Tensor values = Row(0);
                          if (comm.rank() == 0) {
                            comm.Barrier();
                          } else {
                            comm.AllReduceSum(values);
                          }
                        }),
               std::runtime_error);
}

}  // namespace
}  // namespace fastclip
