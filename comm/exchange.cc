#include "comm/exchange.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>

#include "comm/comm_error.h"

namespace fastclip {

std::vector<std::int64_t> GatherNumbers(Communicator& comm, std::int64_t mine) {
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.world_size()), 1);
  const at::Tensor all = comm.AllGather(at::full({1}, mine, at::kLong), one_each);
  const auto* values = all.const_data_ptr<std::int64_t>();
  return {values, values + all.numel()};
}

std::vector<std::string> GatherTexts(Communicator& comm, const std::string& mine) {
  const auto size = static_cast<std::int64_t>(mine.size());
  const std::vector<std::int64_t> sizes = GatherNumbers(comm, size);
  at::Tensor bytes = at::empty({size}, at::kByte);
  if (size > 0) std::memcpy(bytes.mutable_data_ptr(), mine.data(), mine.size());
  const at::Tensor all = comm.AllGather(bytes, sizes);
  const char* next = reinterpret_cast<const char*>(all.const_data_ptr<std::uint8_t>());
  std::vector<std::string> texts;
  for (const std::int64_t length : sizes) {
    texts.emplace_back(next, static_cast<std::size_t>(length));
    next += length;
  }
  return texts;
}

bool AnyRank(Communicator& comm, bool mine) {
  at::Tensor count = at::full({1}, static_cast<std::int64_t>(mine), at::kLong);
  comm.AllReduceSum(count);
  return count.item<std::int64_t>() > 0;
}

void Together(Communicator& comm, const std::function<void()>& work) {
  if (comm.world_size() == 1) return work();
  std::string error;
  try {
    work();
  } catch (const std::exception& thrown) {
    error = ErrorText(thrown);
  }
  const std::vector<std::string> errors = GatherTexts(comm, error);
  for (std::size_t rank = 0; rank < errors.size(); ++rank) {
    if (!errors[rank].empty()) {
      throw SharedError(static_cast<int>(rank), fmt::format("rank {}: {}", rank, errors[rank]));
    }
  }
}

}  // namespace fastclip
