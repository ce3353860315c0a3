#include "pipeline/loader/memory_gate.h"

#include <gtest/gtest.h>

namespace fastclip {
namespace {

/// Reads a record of that many bytes and passes it on to be decoded.
void ReadAndBegin(MemoryGate& gate, std::int64_t bytes) {
  gate.BeginRead();
  const std::int64_t place = gate.Queue(bytes);
  ASSERT_TRUE(gate.MayDecode(place, bytes));
  gate.BeginDecode(bytes);
  gate.EndRead();
}

TEST(MemoryGate, TakesARecordThatIsReadForTheLargestOfLate) {
  MemoryGate gate(100);
  ReadAndBegin(gate, 40);
  EXPECT_TRUE(gate.MayRead());  // 40 are held, 40 may come
  gate.BeginRead();
  EXPECT_FALSE(gate.MayRead());  // a third might not fit
  gate.EndDecode(40);
  EXPECT_TRUE(gate.MayRead());
}

TEST(MemoryGate, LetsARecordThatIsLargerThanAllGoAlone) {
  MemoryGate gate(100);
  ReadAndBegin(gate, 10);
  gate.BeginRead();
  const std::int64_t place = gate.Queue(500);
  EXPECT_FALSE(gate.MayDecode(place, 500));
  gate.EndDecode(10);
  EXPECT_TRUE(gate.MayDecode(place, 500));
  gate.BeginDecode(500);
  gate.EndRead();
  EXPECT_FALSE(gate.MayRead());
}

TEST(MemoryGate, ServesRecordsInTheOrderInWhichTheyWereRead) {
  MemoryGate gate(100);
  ReadAndBegin(gate, 60);
  gate.BeginRead();
  gate.BeginRead();
  const std::int64_t large = gate.Queue(50);
  const std::int64_t small = gate.Queue(1);
  EXPECT_TRUE(gate.AnyQueues());
  EXPECT_FALSE(gate.MayDecode(large, 50));
  EXPECT_FALSE(gate.MayDecode(small, 1));  // it would fit, but it is not its turn
  gate.EndDecode(60);
  EXPECT_TRUE(gate.MayDecode(large, 50));
  gate.BeginDecode(50);
  gate.EndRead();
  EXPECT_TRUE(gate.MayDecode(small, 1));
  gate.BeginDecode(1);
  EXPECT_FALSE(gate.AnyQueues());
}

TEST(MemoryGate, ForgetsALargeRecordInTime) {
  MemoryGate gate(1'000'000);
  ReadAndBegin(gate, 900'000);
  gate.EndDecode(900'000);
  gate.BeginRead();
  EXPECT_FALSE(gate.MayRead());
  gate.EndRead();
  for (int i = 0; i < 3000; ++i) {
    ReadAndBegin(gate, 10'000);
    gate.EndDecode(10'000);
  }
  gate.BeginRead();
  EXPECT_TRUE(gate.MayRead());
}

}  // namespace
}  // namespace fastclip
