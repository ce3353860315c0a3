#pragma once

#include <cstdint>

#include "comm/communicator.h"

namespace fastclip {

/// Payload bytes of this rank's collectives so far: of a gather, the rows of all ranks; of a sum or
/// a broadcast, the tensor. README.md gives the formula of a step. The traffic on the network
/// depends on the algorithm: a ring sends (K−1)/K of a gather, 2·(K−1)/K of a sum.
struct Traffic {
  std::int64_t gathered = 0;
  std::int64_t summed = 0;
  std::int64_t broadcast = 0;
};

/// Counts the bytes that go through another communicator, which must outlive it.
class CountedCommunicator final : public Communicator {
 public:
  explicit CountedCommunicator(Communicator& comm) : comm_(comm) {}

  const Traffic& traffic() const { return traffic_; }

  int rank() const override { return comm_.rank(); }
  int world_size() const override { return comm_.world_size(); }
  std::unique_ptr<Pending> CallsSoFar() override { return comm_.CallsSoFar(); }
  void AtStep(std::int64_t step) override { comm_.AtStep(step); }
  std::chrono::milliseconds SetTimeout(std::chrono::milliseconds timeout) override {
    return comm_.SetTimeout(timeout);
  }
  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override;
  void AllReduceSum(at::Tensor& values) override;
  at::Tensor ReduceScatterSum(const at::Tensor& values) override;
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override;
  void Broadcast(at::Tensor& values, int root) override;
  void Barrier() override { comm_.Barrier(); }

 private:
  Communicator& comm_;
  Traffic traffic_;
};

}  // namespace fastclip
