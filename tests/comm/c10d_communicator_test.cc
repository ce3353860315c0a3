#include "comm/c10d_communicator.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <latch>

#include "comm/comm_error.h"
#include "comm/interfaces.h"
#include "tests/comm/gloo_world.h"

namespace fastclip {
namespace {

using namespace std::chrono_literals;

class GlooWorlds : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Gloo, GlooWorlds, testing::Values(2, 3, 4));

TEST_P(GlooWorlds, GathersRowsInRankOrder) {
  RunGlooRanks(GetParam(), [&](Communicator& comm) {
    for (const bool even : {true, false}) {
      std::vector<std::int64_t> rows;
      for (int rank = 0; rank < comm.world_size(); ++rank) rows.push_back(even ? 2 : 3 * rank);
      std::vector<at::Tensor> expected;
      for (int rank = 0; rank < comm.world_size(); ++rank) {
        expected.push_back(at::full({rows[rank], 2, 5}, rank, at::kDouble));
      }
      const at::Tensor all = comm.AllGather(expected[comm.rank()], rows);
      EXPECT_TRUE(all.equal(at::cat(expected)));
    }
  });
}

TEST_P(GlooWorlds, SumsToTheSameBitsOnAllRanks) {
  const int world = GetParam();
  for (const std::int64_t size : {1, 7, 100'003}) {
    std::vector<at::Tensor> parts, sums(world), started(world);
    for (int rank = 0; rank < world; ++rank) {
      parts.push_back(at::linspace(-1.0 / (rank + 3), 1, size, at::kFloat));
    }
    RunGlooRanks(world, [&](Communicator& comm) {
      at::Tensor sum = parts[comm.rank()].clone();
      comm.AllReduceSum(sum);
      sums[comm.rank()] = sum;
      at::Tensor late = parts[comm.rank()].clone();
      comm.StartAllReduceSum(late)->Wait();
      started[comm.rank()] = late;
    });
    at::Tensor expected = at::zeros({size}, at::kDouble);
    for (const at::Tensor& part : parts) expected += part;
    EXPECT_TRUE(at::allclose(sums[0].to(at::kDouble), expected, 1e-6, 1e-6));
    for (int rank = 0; rank < world; ++rank) {
      EXPECT_TRUE(sums[rank].equal(sums[0]));
      EXPECT_TRUE(started[rank].equal(started[0]));
    }
  }
}

TEST_P(GlooWorlds, ScattersSumsAndBroadcasts) {
  RunGlooRanks(GetParam(), [&](Communicator& comm) {
    const std::int64_t world = comm.world_size();
    const at::Tensor rows = at::arange(world, at::kDouble).unsqueeze(1).expand({world, 3});
    const at::Tensor mine = comm.ReduceScatterSum(rows);
    EXPECT_TRUE(
        mine.equal(at::full({1, 3}, static_cast<double>(world * comm.rank()), at::kDouble)));
    at::Tensor told = at::full({4}, comm.rank(), at::kLong);
    comm.Broadcast(told, 1);
    EXPECT_TRUE(told.equal(at::full({4}, 1, at::kLong)));
    comm.Barrier();
  });
}

TEST(Gloo, ThrowsWhereAPeerIsGoneOrDoesNotCome) {
  for (const bool gone : {true, false}) {
    std::latch seen(1);
    const auto body = [&](Communicator& comm) {
      if (comm.rank() == 0) {
        at::Tensor values = at::ones({3});
        EXPECT_THROW(comm.AllReduceSum(values), CommError);
        seen.count_down();
      } else if (!gone) {
        seen.wait();
      }
    };
    RunGlooRanks(2, body, 2s);
  }
}

TEST(Gloo, NamesAnInterfaceThatIsNotThere) {
  setenv("GLOO_SOCKET_IFNAME", "lo,nosuch0", 1);
  try {
    CheckInterfaces();
    ADD_FAILURE();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("'nosuch0' is not up on this host; use one of "),
              std::string::npos)
        << error.what();
  }
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  CheckInterfaces();
}

TEST(TcpStore, NamesAPortInUseAndAHostThatDoesNotAnswer) {
  Launch launch{.rank = 0, .world_size = 2, .store_host = "127.0.0.1", .store_port = 0};
  // A store of our own on some free port, then a second one on the same.
  const auto first = [&] {
    for (launch.store_port = 23451;; ++launch.store_port) {
      try {
        return OpenTcpStore(launch, 5s);
      } catch (const CommError&) {
      }
    }
  }();
  try {
    OpenTcpStore(launch, 5s);
    FAIL();
  } catch (const CommError& error) {
    EXPECT_NE(std::string(error.what()).find("set another MASTER_PORT"), std::string::npos)
        << error.what();
  }
  first->Set("a", "1");
  launch.rank = 1;
  EXPECT_EQ(OpenTcpStore(launch, 5s)->Get("a"), "1");
  EXPECT_FALSE(OpenTcpStore(launch, 5s)->Get("b").has_value());
  launch.store_port = 1;
  EXPECT_THROW(OpenTcpStore(launch, 1s), CommError);
}

}  // namespace
}  // namespace fastclip
