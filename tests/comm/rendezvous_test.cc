#include "comm/rendezvous.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <mutex>
#include <thread>

#include "comm/c10d_communicator.h"
#include "comm/comm_error.h"

namespace fastclip {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> JoinAll(Store& store, int world_size,
                                 std::chrono::milliseconds late_by = 0ms) {
  std::vector<std::string> nonces(world_size);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto mine = store.Clone();
      if (rank == world_size - 1) std::this_thread::sleep_for(late_by);
      nonces[rank] = JoinRanks(*mine, rank, world_size, 20s, [](const std::string&) {});
    });
  }
  threads.clear();
  return nonces;
}

TEST(Rendezvous, GivesAllRanksOneNonce) {
  const auto store = MakeLocalStore();
  const auto nonces = JoinAll(*store, 5);
  EXPECT_FALSE(nonces[0].empty());
  for (const std::string& nonce : nonces) EXPECT_EQ(nonce, nonces[0]);
}

TEST(Rendezvous, IsNotMisledByWhatAnEarlierStartLeft) {
  const auto store = MakeLocalStore();
  const std::string first = JoinAll(*store, 3)[0];
  store->Push("fastclip/join", "1:deadbeef");  // a rank that died before it was answered
  store->Push("fastclip/join", "2:deadbeef");
  const auto nonces = JoinAll(*store, 3);
  EXPECT_NE(nonces[0], first);
  EXPECT_EQ(nonces[1], nonces[0]);
  EXPECT_EQ(nonces[2], nonces[0]);
}

TEST(Rendezvous, OutlivesARank0ThatDiedAfterItAnswered) {
  const auto store = MakeLocalStore();
  std::string nonce;
  std::jthread rank1([&, mine = store->Clone()] {
    nonce = JoinRanks(*mine, 1, 2, 30s, [](const std::string&) {});
  });
  std::optional<std::string> token;
  while (!(token = store->Pop("fastclip/join"))) std::this_thread::yield();
  store->Set("fastclip/answer/" + *token, "of-the-dead");
  while (!store->Pop("fastclip/confirmed/of-the-dead")) std::this_thread::yield();
  const auto mine = store->Clone();
  const std::string begun = JoinRanks(*mine, 0, 2, 30s, [](const std::string&) {});
  rank1.join();
  EXPECT_EQ(nonce, begun);
}

TEST(Rendezvous, NamesTheRanksThatDidNotCome) {
  const auto store = MakeLocalStore();
  std::jthread rank2([mine = store->Clone()] {
    EXPECT_THROW(JoinRanks(*mine, 2, 4, 1s, [](const std::string&) {}), CommError);
  });
  try {
    JoinRanks(*store, 0, 4, 1s, [](const std::string&) {});
    FAIL();
  } catch (const CommError& error) {
    EXPECT_STREQ(error.what(),
                 "ranks 1 and 3 of 4 did not join in time; check that they were started and can "
                 "reach this host, or raise comm.join_timeout");
  }
}

TEST(NameRanks, TellsRuns) {
  EXPECT_EQ(NameRanks({3}), "rank 3");
  EXPECT_EQ(NameRanks({1, 2}), "ranks 1 and 2");
  EXPECT_EQ(NameRanks({1, 2, 5}), "ranks 1, 2 and 5");
  EXPECT_EQ(NameRanks({4, 5, 6, 7, 40}), "ranks 4 to 7 and 40");
}

TEST(PeerNames, AreNumbersSoThatNoResolverIsAsked) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char host[NI_MAXHOST] = "";
  ASSERT_EQ(getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host,
                        sizeof host, nullptr, 0, 0),
            0);
  EXPECT_STREQ(host, "127.0.0.1");
}

}  // namespace
}  // namespace fastclip
