#include "comm/watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <utility>

#include "comm/c10d_communicator.h"

namespace fastclip {
namespace {

RankStatus Status(std::int64_t calls, const std::string& call, const std::string& error = "",
                  bool of_others = false) {
  return {.step = 7,
          .calls = calls,
          .call = call,
          .seconds = 61,
          .error = error,
          .of_others = of_others,
          .host = "h"};
}

TEST(Verdict, BlamesTheRankThatSaysNothing) {
  EXPECT_EQ(
      Verdict({Status(9, "AllGather", "closed", true), std::nullopt, Status(9, "AllGather")}, 7),
      "rank 1 did not answer at step 7: killed, hung, or unreachable");
}

TEST(Verdict, BlamesTheRankWithAnErrorOfItsOwn) {
  EXPECT_EQ(
      Verdict({Status(9, "AllGather", "closed", true), Status(8, "", "disk full"), std::nullopt},
              7),
      "rank 1 on h failed at step 7: disk full");
}

TEST(Verdict, BlamesTheRankThatDoesNotComeToACollective) {
  EXPECT_EQ(
      Verdict({Status(9, "AllGather", "timed out", true), Status(9, "AllGather"), Status(8, "")},
              7),
      "rank 2 on h did not reach collective 9 at step 7: it has been computing, reading or writing "
      "for 61 s; if it needs that long, raise comm.timeout or comm.patience");
}

TEST(Verdict, TellsTheErrorWhereNobodyWaits) {
  EXPECT_EQ(Verdict({Status(0, "", "no route", true), Status(0, "", "no route", true)}, 0),
            "at step 7: no route");
}

TEST(Watch, LetsAllRanksNameTheOneThatFailed) {
  const auto store = MakeLocalStore();
  std::vector<std::string> heard(3);
  std::latch all_heard(2);
  std::vector<std::unique_ptr<Watch>> watches;
  for (int rank = 0; rank < 3; ++rank) {
    watches.push_back(std::make_unique<Watch>(store->Clone(), "start", rank, 3, "host",
                                              [&, rank](const std::string& verdict) {
                                                heard[rank] = verdict;
                                                all_heard.count_down();
                                              }));
    watches.back()->AtStep(12);
  }
  watches[0]->BeginCall("AllReduceSum");
  EXPECT_EQ(watches[2]->Fail("the disk is full", false),
            "rank 2 on host failed at step 12: the disk is full");
  all_heard.wait();
  EXPECT_EQ(heard[0], "rank 2 on host failed at step 12: the disk is full");
  EXPECT_EQ(heard[1], heard[0]);
}

TEST(Watch, NamesTheRankThatIsGone) {
  const auto store = MakeLocalStore();
  Watch zero(store->Clone(), "start", 0, 3, "host", [](const std::string&) {});
  std::string heard;
  std::latch done(1);
  Watch one(store->Clone(), "start", 1, 3, "host", [&](const std::string& verdict) {
    heard = verdict;
    done.count_down();
  });
  EXPECT_EQ(zero.Fail("connection closed", true),
            "rank 2 did not answer at step 0: killed, hung, or unreachable");
  done.wait();
  EXPECT_EQ(heard, "rank 2 did not answer at step 0: killed, hung, or unreachable");
}

/// A store that counts how often it is asked.
class CountedStore final : public Store {
 public:
  CountedStore(std::unique_ptr<Store> store, std::atomic<int>& calls)
      : store_(std::move(store)), calls_(calls) {}
  void Set(const std::string& key, const std::string& value) override {
    return Counted().Set(key, value);
  }
  std::optional<std::string> Get(const std::string& key) override { return Counted().Get(key); }
  bool SetIfAbsent(const std::string& key, const std::string& value) override {
    return Counted().SetIfAbsent(key, value);
  }
  std::int64_t Add(const std::string& count, std::int64_t more) override {
    return Counted().Add(count, more);
  }
  void Push(const std::string& queue, const std::string& value) override {
    return Counted().Push(queue, value);
  }
  std::optional<std::string> Pop(const std::string& queue) override { return Counted().Pop(queue); }
  std::unique_ptr<Store> Clone() override {
    return std::make_unique<CountedStore>(store_->Clone(), calls_);
  }

 private:
  Store& Counted() {
    ++calls_;
    return *store_;
  }

  std::unique_ptr<Store> store_;
  std::atomic<int>& calls_;
};

TEST(Watch, AsksTheStoreAFewTimesARankHoweverManyThereAre) {
  constexpr int kRanks = 64;
  std::atomic<int> calls = 0;
  CountedStore store(MakeLocalStore(), calls);
  std::latch all_heard(kRanks - 1);
  std::vector<std::unique_ptr<Watch>> watches;
  for (int rank = 0; rank < kRanks; ++rank) {
    watches.push_back(std::make_unique<Watch>(
        store.Clone(), "start", rank, kRanks, "host", [&](const std::string& verdict) {
          EXPECT_EQ(verdict, "rank 5 on host failed at step 0: no disk");
          all_heard.count_down();
        }));
  }
  watches[5]->Fail("no disk", false);
  all_heard.wait();
  EXPECT_LT(calls, 30 * kRanks);  // all from all would be 64 times as many
}

TEST(Watch, NamesTheRankThatFailedFirstAndIsGoneBeforeItsVerdict) {
  const auto store = MakeLocalStore();
  store->SetIfAbsent("start/failed", "2");
  std::string heard;
  std::latch done(1);
  Watch one(store->Clone(), "start", 1, 3, "host", [&](const std::string& verdict) {
    heard = verdict;
    done.count_down();
  });
  done.wait();
  EXPECT_EQ(
      heard,
      "rank 2 reported a failure at step 0 and then did not answer: killed, hung, or unreachable");
}

TEST(Watch, IsQuietAboutAnEarlierStart) {
  const auto store = MakeLocalStore();
  {
    Watch before(store->Clone(), "first", 0, 1, "host", [](const std::string&) {});
    before.Fail("gone", false);
  }
  bool called = false;
  {
    Watch now(store->Clone(), "second", 0, 1, "host", [&](const std::string&) { called = true; });
    now.Retire();
  }
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace fastclip
