#include "comm/communicator.h"

#include <stdexcept>

namespace fastclip {
namespace {

class Done final : public Pending {
 public:
  void Wait() override {}
};

class OneRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    if (rows_per_rank.size() != 1 || rows_per_rank[0] != rows.size(0)) {
      throw std::invalid_argument("AllGather: rows_per_rank does not match a world of one rank");
    }
    return rows.detach();
  }
  void AllReduceSum(at::Tensor&) override {}
  at::Tensor ReduceScatterSum(const at::Tensor& values) override { return values; }
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor) override {
    return std::make_unique<Done>();
  }
  void Broadcast(at::Tensor&, int) override {}
  void Barrier() override {}
};

}  // namespace

std::unique_ptr<Pending> Communicator::CallsSoFar() { return std::make_unique<Done>(); }

std::unique_ptr<Communicator> WorldOfOne() { return std::make_unique<OneRank>(); }

}  // namespace fastclip
