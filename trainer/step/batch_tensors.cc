#include "trainer/step/batch_tensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

constexpr std::int64_t kTextStep = 8;  // few different shapes, and whole vector registers

// Bytes as they lie in the batch; the owner keeps them alive until they are copied.
template <class T>
at::Tensor ViewOf(std::span<const T> values, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), shape, at::TensorOptions(type));
}

}  // namespace

at::Tensor ImageTensor(std::span<const std::uint8_t> pixels, std::int64_t rows, std::int64_t size,
                       const TensorTarget& target) {
  // (x/255 − mean)/deviation = x·scale + shift, with both repeated along a picture's row: three
  // colours alone would make the innermost loop three long.
  at::Tensor scale = at::empty({size, 3}, at::kDouble), shift = at::empty({size, 3}, at::kDouble);
  for (int c = 0; c < 3; ++c) {
    scale.select(1, c).fill_(1 / (255 * kPictureDeviation[c]));
    shift.select(1, c).fill_(-kPictureMean[c] / kPictureDeviation[c]);
  }
  const auto to_row = [&](const at::Tensor& x) {
    return x.view({size * 3}).to(target.device, target.dtype);
  };
  return ViewOf(pixels, {rows * size, size * 3}, at::kByte)
      .to(target.device)
      .to(target.dtype)
      .mul_(to_row(scale))
      .add_(to_row(shift))
      .view({rows, size, size, 3})
      .permute({0, 3, 1, 2});
}

CaptionTensors CaptionsOf(std::span<const TokenId> tokens, std::span<const std::int64_t> pool,
                          std::int64_t context_length, const TensorTarget& target) {
  const auto captions = static_cast<std::int64_t>(pool.size());
  std::int64_t n = context_length;
  if (target.trim_text && captions > 0) {
    const std::int64_t longest = *std::max_element(pool.begin(), pool.end()) + 1;
    n = std::min(n, (longest + kTextStep - 1) / kTextStep * kTextStep);
  }
  const at::Tensor ids = ViewOf(tokens, {captions, context_length}, at::kInt).narrow(1, 0, n);
  const at::Tensor places = ViewOf(pool, {captions}, at::kLong);
  return {ids.to(target.device, at::kLong).contiguous(),
          places.to(target.device, /*non_blocking=*/false, /*copy=*/true)};
}

at::Tensor KeptPatches(std::span<const std::int64_t> indices, std::int64_t epoch,
                       const PatchDropout& dropout, at::Device device) {
  if (dropout.share == 0) return {};
  const std::int64_t n = dropout.patches;
  const std::int64_t kept = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(static_cast<double>(n) * (1 - dropout.share)));
  at::Tensor all = at::empty({static_cast<std::int64_t>(indices.size()), kept}, at::kLong);
  auto* row = all.mutable_data_ptr<std::int64_t>();
  std::vector<std::int64_t> deck(static_cast<std::size_t>(n));
  for (const std::int64_t index : indices) {
    CounterRandom random(dropout.seed, RandomStream::kPatches, static_cast<std::uint64_t>(epoch),
                         static_cast<std::uint64_t>(index));
    std::iota(deck.begin(), deck.end(), std::int64_t{0});
    // The first places of Fisher and Yates' shuffle.
    for (std::int64_t i = 0; i < kept; ++i) {
      std::swap(deck[i], deck[i + static_cast<std::int64_t>(random.Below(n - i))]);
    }
    std::sort(deck.begin(), deck.begin() + kept);
    row = std::copy_n(deck.begin(), kept, row);
  }
  return all.to(device);
}

std::vector<MicroBatch> MicroBatchesOf(const Batch& batch, int count, const TensorTarget& target,
                                       const PatchDropout& dropout) {
  const int rows = batch.rows();
  if (count < 1 || count > rows) {
    throw std::invalid_argument(
        fmt::format("{} micro-batches need at least as many rows, but there are {}", count, rows));
  }
  const std::int64_t size = batch.image_size(), context = batch.context_length();
  std::vector<MicroBatch> micro;
  for (int i = 0; i < count; ++i) {
    const std::size_t first = static_cast<std::size_t>(rows) * i / count;
    const std::size_t length = static_cast<std::size_t>(rows) * (i + 1) / count - first;
    const std::size_t bytes = static_cast<std::size_t>(size * size * 3);
    const auto pixels = batch.pixels().subspan(first * bytes, length * bytes);
    CaptionTensors text = CaptionsOf(batch.tokens().subspan(first * context, length * context),
                                     batch.pool().subspan(first, length), context, target);
    micro.push_back(
        {ImageTensor(pixels, static_cast<std::int64_t>(length), size, target),
         std::move(text.tokens), std::move(text.pool),
         KeptPatches(batch.indices().subspan(first, length),
                     dropout.each_step ? batch.step() : batch.epoch(), dropout, target.device)});
  }
  return micro;
}

}  // namespace fastclip
