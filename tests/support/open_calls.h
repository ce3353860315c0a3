#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "tests/support/stand_in_device.h"

namespace fastclip {

/// Another communicator, which must outlive it, whose calls on tensors of the stand-in device are
/// open until CallsSoFar() is waited for, as NCCL's are: a rank that is lost meanwhile leaves them
/// so for ever, and the poll alone has an end. A wait of the host behind an open call throws.
class OpenCalls final : public Communicator {
 public:
  explicit OpenCalls(Communicator& comm) : comm_(comm) {}

  int rank() const override { return comm_.rank(); }
  int world_size() const override { return comm_.world_size(); }
  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    return Opened(comm_.AllGather(rows, rows_per_rank));
  }
  void AllReduceSum(at::Tensor& values) override {
    comm_.AllReduceSum(values);
    Opened(values);
  }
  at::Tensor ReduceScatterSum(const at::Tensor& values) override {
    return Opened(comm_.ReduceScatterSum(values));
  }
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override {
    auto pending = comm_.StartAllReduceSum(values);
    Opened(values);
    return pending;
  }
  void Broadcast(at::Tensor& values, int root) override {
    comm_.Broadcast(values, root);
    Opened(values);
  }
  void Barrier() override { comm_.Barrier(); }
  std::unique_ptr<Pending> CallsSoFar() override {
    std::erase_if(open_, [](const stand_in::CallEnd& end) { return end->load(); });
    return std::make_unique<Poll>(open_);
  }
  std::chrono::milliseconds SetTimeout(std::chrono::milliseconds timeout) override {
    return comm_.SetTimeout(timeout);
  }

 private:
  class Poll final : public Pending {
   public:
    explicit Poll(std::vector<stand_in::CallEnd> calls) : calls_(std::move(calls)) {}
    void Wait() override {
      for (const stand_in::CallEnd& end : calls_) *end = true;
    }

   private:
    std::vector<stand_in::CallEnd> calls_;
  };

  at::Tensor Opened(const at::Tensor& made) {
    if (made.device().type() == stand_in::kType) {
      open_.push_back(stand_in::EnqueueCall(made.device()));
    }
    return made;
  }

  Communicator& comm_;
  std::vector<stand_in::CallEnd> open_;
};

}  // namespace fastclip
