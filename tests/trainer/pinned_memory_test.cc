#include "trainer/step/pinned_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

namespace fastclip {
namespace {

/// Counts what is not given back.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    ++alive;
    auto* const memory = new Block{this, std::vector<char>(bytes + 64)};
    void* at = memory->bytes.data();
    std::size_t room = memory->bytes.size();
    at = std::align(64, bytes, at, room);
    return {at, memory, &Free, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

  int alive = 0;

 private:
  struct Block {
    CountingAllocator* owner;
    std::vector<char> bytes;
  };
  static void Free(void* context) {
    auto* const block = static_cast<Block*>(context);
    --block->owner->alive;
    delete block;
  }
};

TEST(AllocatorMemory, TakesFromItsAllocatorAndGivesBack) {
  CountingAllocator allocator;
  AllocatorMemory memory(allocator);
  {
    std::pmr::vector<std::int64_t> numbers(1000, 7, &memory);
    EXPECT_EQ(allocator.alive, 1);
    numbers.resize(5000, 8);
    EXPECT_EQ(allocator.alive, 1);
    EXPECT_EQ(numbers[999], 7);
    EXPECT_EQ(numbers[4999], 8);
  }
  EXPECT_EQ(allocator.alive, 0);
  EXPECT_THROW(static_cast<void>(memory.allocate(8, 4096 * 4096)), std::bad_alloc);
  EXPECT_EQ(allocator.alive, 0);
}

TEST(BatchMemory, OfTheCpuIsTheUsualOne) {
  EXPECT_EQ(BatchMemory(at::kCPU), std::pmr::new_delete_resource());
}

}  // namespace
}  // namespace fastclip
