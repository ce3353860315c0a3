#include "comm/counted_communicator.h"

#include <ATen/ATen.h>

namespace fastclip {
namespace {

std::int64_t Bytes(const at::Tensor& tensor) { return static_cast<std::int64_t>(tensor.nbytes()); }

}  // namespace

at::Tensor CountedCommunicator::AllGather(const at::Tensor& rows,
                                          std::span<const std::int64_t> rows_per_rank) {
  at::Tensor all = comm_.AllGather(rows, rows_per_rank);
  if (world_size() > 1) traffic_.gathered += Bytes(all);
  return all;
}

void CountedCommunicator::AllReduceSum(at::Tensor& values) {
  if (world_size() > 1) traffic_.summed += Bytes(values);
  comm_.AllReduceSum(values);
}

at::Tensor CountedCommunicator::ReduceScatterSum(const at::Tensor& values) {
  if (world_size() > 1) traffic_.summed += Bytes(values);
  return comm_.ReduceScatterSum(values);
}

std::unique_ptr<Pending> CountedCommunicator::StartAllReduceSum(at::Tensor values) {
  if (world_size() > 1) traffic_.summed += Bytes(values);
  return comm_.StartAllReduceSum(std::move(values));
}

void CountedCommunicator::Broadcast(at::Tensor& values, int root) {
  if (world_size() > 1) traffic_.broadcast += Bytes(values);
  comm_.Broadcast(values, root);
}

}  // namespace fastclip
