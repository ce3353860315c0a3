#include "trainer/step/batch_tensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>

#include "pipeline/base/counter_random.h"
#include "trainer/step/length_groups.h"

namespace fastclip {
namespace {

constexpr std::int64_t kTextStep = 8;  // few different shapes, and whole vector registers

// Bytes as they lie in the batch; the owner keeps them alive until they are copied.
template <class T>
at::Tensor ViewOf(std::span<const T> values, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), shape, at::TensorOptions(type));
}

/// (x/255 − mean)/deviation = x·scale + shift, with both repeated along a picture's row: three
/// colours alone would make the innermost loop three long.
struct ColourScale {
  at::Tensor scale, shift;  // [size · 3], on the device
};

/// Made once for each size and device, and never taken down: a GPU's may be gone at exit.
const ColourScale& ScaleOf(std::int64_t size, const TensorTarget& target) {
  static std::mutex mutex;
  static auto* const made =
      new std::map<std::tuple<std::int64_t, std::string, at::ScalarType>, ColourScale>();
  const std::lock_guard lock(mutex);
  ColourScale& colours = (*made)[{size, target.device.str(), target.dtype}];
  if (colours.scale.defined()) return colours;
  at::Tensor scale = at::empty({size, 3}, at::kDouble), shift = at::empty({size, 3}, at::kDouble);
  for (int c = 0; c < 3; ++c) {
    scale.select(1, c).fill_(1 / (255 * kPictureDeviation[c]));
    shift.select(1, c).fill_(-kPictureMean[c] / kPictureDeviation[c]);
  }
  const auto to_row = [&](const at::Tensor& x) {
    return x.view({size * 3}).to(target.device, target.dtype);
  };
  colours = {to_row(scale), to_row(shift)};
  return colours;
}

std::int64_t TrimmedLength(std::int64_t end, std::int64_t context) {
  return std::min(context, (end + 1 + kTextStep - 1) / kTextStep * kTextStep);
}

/// Lengths of the groups of captions that end at `pool`.
std::vector<std::int64_t> GroupLengths(std::span<const std::int64_t> pool, std::int64_t context,
                                       const TensorTarget& target) {
  if (!target.trim_text) return {context};
  std::map<std::int64_t, std::int64_t> captions;
  for (const std::int64_t end : pool) ++captions[TrimmedLength(end, context)];
  std::vector<LengthCount> counts;
  for (const auto& [length, count] : captions) counts.push_back({length, count});
  const bool by_rule = target.length_groups == 0;
  return CutByLength(counts, by_rule ? kMostLengthGroups : target.length_groups,
                     by_rule ? GroupCostsOn(!target.device.is_cpu()) : GroupCosts{});
}

/// Fills in the groups; within one, captions keep their order.
void Group(std::span<const std::int64_t> pool, const std::vector<std::int64_t>& lengths,
           const TensorTarget& target, CaptionTensors& captions) {
  const auto group_of = [&](std::int64_t end) {
    return std::ranges::lower_bound(lengths, end + 1) - lengths.begin();
  };
  std::vector<std::int64_t> next(lengths.size() + 1);  // where a group's next caption goes
  for (const std::int64_t end : pool) ++next[group_of(end) + 1];
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    captions.groups.groups.push_back({next[i + 1], lengths[i]});
    next[i + 1] += next[i];
  }
  const auto rows = static_cast<std::int64_t>(pool.size());
  const at::Tensor host = at::empty({2, rows}, at::kLong);
  auto* const order = host.mutable_data_ptr<std::int64_t>();
  auto* const places = order + rows;
  for (std::int64_t row = 0; row < rows; ++row) {
    places[row] = next[group_of(pool[row])]++;
    order[places[row]] = row;
  }
  captions.groups_host = Pinned(host, target);
  const at::Tensor both = Uploaded(captions.groups_host, target);
  captions.groups.order = both[0];
  captions.groups.places = both[1];
}

}  // namespace

at::Tensor Pinned(const at::Tensor& host, const TensorTarget& target) {
  const bool pin = host.defined() && target.non_blocking && !target.device.is_cpu();
  return pin ? host.pin_memory() : host;
}

at::Tensor Uploaded(const at::Tensor& host, const TensorTarget& target) {
  return Uploaded(host, target.device, target.non_blocking, target.copies);
}

at::Tensor ImageTensor(std::span<const std::uint8_t> pixels, std::int64_t rows, std::int64_t size,
                       const TensorTarget& target) {
  const ColourScale& colours = ScaleOf(size, target);
  const at::Tensor images = Uploaded(ViewOf(pixels, {rows * size, size * 3}, at::kByte), target)
                                .to(target.dtype)
                                .mul_(colours.scale)
                                .add_(colours.shift)
                                .view({rows, size, size, 3})
                                .permute({0, 3, 1, 2});
  return target.channels_last ? images : images.contiguous();
}

CaptionTensors CaptionsOf(std::span<const TokenId> tokens, std::span<const std::int64_t> pool,
                          std::int64_t context_length, const TensorTarget& target) {
  const auto captions = static_cast<std::int64_t>(pool.size());
  const std::vector<std::int64_t> lengths = GroupLengths(pool, context_length, target);
  const std::int64_t n = lengths.empty() ? context_length : lengths.back();
  const at::Tensor ids = Uploaded(ViewOf(tokens, {captions, context_length}, at::kInt), target);
  const at::Tensor places = Uploaded(ViewOf(pool, {captions}, at::kLong), target);
  CaptionTensors text{ids.narrow(1, 0, n).to(at::kLong).contiguous(),
                      target.device.is_cpu() ? places.clone() : places};
  if (lengths.size() > 1) Group(pool, lengths, target, text);
  return text;
}

at::Tensor KeptPatches(std::span<const std::int64_t> indices, std::int64_t epoch,
                       const PatchDropout& dropout) {
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
  return all;
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
    CaptionTensors text;
    at::Tensor labels;
    if (target.labels) {
      labels = Uploaded(ViewOf(std::span<const std::int64_t>(batch.labels()).subspan(first, length),
                               {static_cast<std::int64_t>(length)}, at::kLong),
                        target);
      if (target.device.is_cpu()) labels = labels.clone();  // the batch's memory is used again
    } else {
      text = CaptionsOf(batch.tokens().subspan(first * context, length * context),
                        batch.pool().subspan(first, length), context, target);
    }
    const at::Tensor kept =
        Pinned(KeptPatches(batch.indices().subspan(first, length),
                           dropout.each_step ? batch.step() : batch.epoch(), dropout),
               target);
    micro.push_back({ImageTensor(pixels, static_cast<std::int64_t>(length), size, target),
                     std::move(text.tokens), std::move(text.pool), Uploaded(kept, target), kept,
                     std::move(text.groups), std::move(text.groups_host), labels});
  }
  return micro;
}

}  // namespace fastclip
