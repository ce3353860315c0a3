#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "tests/support/rank_threads.h"

namespace fastclip {

/// Where the ranks of one test meet: threads, a mutex, and every collective built on one exchange.
/// A rank that throws, waits past the timeout, or calls something else than the others makes all
/// of them throw.
class ThreadWorld {
 public:
  explicit ThreadWorld(int size, std::chrono::milliseconds timeout = std::chrono::seconds(20))
      : timeout_(timeout), posts_(static_cast<std::size_t>(size)) {}

  int size() const { return static_cast<int>(posts_.size()); }

  /// What each rank posted, in rank order, on the device of `mine`. `call` must be the same on all.
  std::vector<at::Tensor> Exchange(int rank, const std::string& call, const at::Tensor& mine) {
    std::unique_lock lock(mutex_);
    posts_[static_cast<std::size_t>(rank)] = {call, mine.defined() ? mine.detach().clone() : mine};
    Meet(lock, call);
    std::vector<at::Tensor> all;
    for (const Post& post : posts_) {
      if (post.call != call) Break(call + " met " + post.call);
      all.push_back(mine.defined() ? post.tensor.to(mine.device()) : post.tensor);
    }
    Meet(lock, call);  // nobody posts again before everyone has read
    return all;
  }

  /// Lets all ranks that wait, or will, throw.
  void Abandon(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (broken_.empty()) broken_ = why;
    changed_.notify_all();
  }

 private:
  struct Post {
    std::string call;
    at::Tensor tensor;
  };

  [[noreturn]] void Break(const std::string& why) {
    if (broken_.empty()) broken_ = why;
    changed_.notify_all();
    throw std::runtime_error(why);
  }

  void Meet(std::unique_lock<std::mutex>& lock, const std::string& call) {
    if (!broken_.empty()) throw std::runtime_error(call + ": " + broken_);
    const std::size_t round = round_;
    if (++arrived_ == posts_.size()) {
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    const bool met =
        changed_.wait_for(lock, timeout_, [&] { return round_ != round || !broken_.empty(); });
    if (round_ != round) return;
    if (!met) Break(call + ": timed out waiting for the other ranks");
    throw std::runtime_error(call + ": " + broken_);
  }

  const std::chrono::milliseconds timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Post> posts_;
  std::size_t arrived_ = 0;
  std::size_t round_ = 0;
  std::string broken_;
};

/// A rank of a ThreadWorld, which must outlive it. Sums run in rank order: equal to the bit on all.
class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadWorld& world, int rank) : world_(world), rank_(rank) {}

  int rank() const override { return rank_; }
  int world_size() const override { return world_.size(); }

  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    if (rows_per_rank.size() != static_cast<std::size_t>(world_.size()) ||
        rows_per_rank[static_cast<std::size_t>(rank_)] != rows.size(0)) {
      throw std::invalid_argument(
          "AllGather: rows_per_rank does not match the tensor or the number of ranks");
    }
    return at::cat(world_.Exchange(rank_, "AllGather", rows));
  }
  void AllReduceSum(at::Tensor& values) override { values.copy_(Sum("AllReduceSum", values)); }
  at::Tensor ReduceScatterSum(const at::Tensor& values) override {
    return Sum("ReduceScatterSum", values).chunk(world_.size())[static_cast<std::size_t>(rank_)];
  }
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override {
    values.copy_(Sum("StartAllReduceSum", values));
    return std::make_unique<Done>();
  }
  void Broadcast(at::Tensor& values, int root) override {
    values.copy_(world_.Exchange(rank_, "Broadcast", values)[static_cast<std::size_t>(root)]);
  }
  void Barrier() override { world_.Exchange(rank_, "Barrier", {}); }

 private:
  class Done final : public Pending {
   public:
    void Wait() override {}
  };

  at::Tensor Sum(const std::string& call, const at::Tensor& values) {
    const std::vector<at::Tensor> all = world_.Exchange(rank_, call, values);
    at::Tensor sum = all.front();
    for (std::size_t other = 1; other < all.size(); ++other) sum = sum + all[other];
    return sum;
  }

  ThreadWorld& world_;
  int rank_;
};

/// Runs `body` once a rank, each in a thread of its own, and throws what the first of them threw.
inline void RunRanks(int world_size, const std::function<void(Communicator&)>& body) {
  ThreadWorld world(world_size);
  RunRankThreads(
      world_size,
      [&](int rank) {
        ThreadCommunicator comm(world, rank);
        body(comm);
      },
      [&](int rank, const std::exception& error) {
        world.Abandon("rank " + std::to_string(rank) + " failed: " + error.what());
      });
}

}  // namespace fastclip
