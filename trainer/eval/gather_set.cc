#include "trainer/eval/gather_set.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "comm/exchange.h"

namespace fastclip {
namespace {

template <class Integer>
at::Tensor AsTensor(const std::vector<Integer>& values) {
  return at::tensor(std::vector<std::int64_t>(values.begin(), values.end()), at::kLong);
}

template <class Integer>
std::vector<Integer> GatherList(const std::vector<Integer>& mine,
                                const std::vector<std::int64_t>& sizes, Communicator& comm) {
  const at::Tensor all = comm.AllGather(AsTensor(mine), sizes);
  const auto* values = all.const_data_ptr<std::int64_t>();
  return {values, values + all.numel()};
}

}  // namespace

SetShare ShareOf(std::int64_t records, int rank, int world_size) {
  return {SampleIndex{records * rank / world_size}, SampleIndex{records * (rank + 1) / world_size}};
}

EncodedSet GatherSet(const EncodedSet& mine, Communicator& comm) {
  if (comm.world_size() == 1) return mine;
  const auto images = GatherNumbers(comm, static_cast<std::int64_t>(mine.indices.size()));
  const auto captions = GatherNumbers(comm, static_cast<std::int64_t>(mine.caption_row.size()));
  const std::int64_t before =
      std::accumulate(images.begin(), images.begin() + comm.rank(), std::int64_t{0});
  std::vector<std::int64_t> caption_row = mine.caption_row;
  for (std::int64_t& row : caption_row) row += before;
  EncodedSet all{.features = {comm.AllGather(mine.features.image, images),
                              comm.AllGather(mine.features.text, captions)},
                 .caption_row = GatherList(caption_row, captions, comm),
                 .indices = GatherList(mine.indices, images, comm),
                 .labels = GatherList(mine.labels, images, comm)};
  at::Tensor skips =
      AsTensor(std::vector<std::int64_t>(mine.skips.values().begin(), mine.skips.values().end()));
  comm.AllReduceSum(skips);
  std::copy_n(skips.const_data_ptr<std::int64_t>(), kSkipCauses, all.skips.values().begin());
  comm.CallsSoFar()->Wait();  // the host reads what is computed from the features
  return all;
}

}  // namespace fastclip
