#include "trainer/adapt/selection.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

/// [units] norms from sums of squares of columns.
at::Tensor UnitNorms(const at::Tensor& squares, std::int64_t units) {
  return squares.to(at::kCPU, at::kDouble).view({units, -1}).sum(1).sqrt();
}

at::Tensor WeightSquares(const Linear& map) {
  return map.weight.detach().to(at::kDouble).square().sum(0);
}

/// Reorders consecutive parts of `size` along a dimension.
void Reorder(const at::Tensor& tensor, std::int64_t dimension, std::int64_t size,
             const at::Tensor& order) {
  const at::Tensor places = order.unsqueeze(1).mul(size) + at::arange(size, order.options());
  tensor.copy_(tensor.index_select(dimension, places.view(-1)));
}

void ReorderRows(const Linear& map, std::int64_t first, std::int64_t count, std::int64_t size,
                 const at::Tensor& order) {
  Reorder(map.weight.narrow(0, first, count), 0, size, order);
  Reorder(map.bias.narrow(0, first, count), 0, size, order);
}

}  // namespace

UnitGroup GroupAt(std::string_view place) {
  return place == "o" ? UnitGroup::kHeads : UnitGroup::kChannels;
}

const char* NameOf(UnitGroup group) { return group == UnitGroup::kHeads ? "heads" : "channels"; }

std::int64_t UnitCount(const TransformerBlock& block, UnitGroup group) {
  return group == UnitGroup::kHeads ? block.shape.heads : block.shape.ffn;
}

std::int64_t UnitWidth(const TransformerBlock& block, UnitGroup group) {
  return group == UnitGroup::kHeads ? block.shape.v_dim : 1;
}

Linear& ConsumerOf(TransformerBlock& block, UnitGroup group) {
  return group == UnitGroup::kHeads ? block.out_proj : block.c_proj;
}

const Linear& ConsumerOf(const TransformerBlock& block, UnitGroup group) {
  return group == UnitGroup::kHeads ? block.out_proj : block.c_proj;
}

at::Tensor ColumnsOf(const Units& units, std::int64_t width) {
  std::vector<std::int64_t> columns;
  for (const std::int64_t unit : units) {
    for (std::int64_t i = 0; i < width; ++i) columns.push_back(unit * width + i);
  }
  return at::tensor(columns, at::kLong);
}

Units UnitsOf(const at::Tensor& columns, std::int64_t width) {
  Units units;
  const at::Tensor numbers = columns.to(at::kCPU, at::kLong).contiguous();
  for (std::int64_t i = 0; i < numbers.numel(); ++i) {
    const std::int64_t unit = numbers.const_data_ptr<std::int64_t>()[i] / width;
    if (units.empty() || units.back() != unit) units.push_back(unit);
  }
  return units;
}

at::Tensor UnitScores(UnitScore score, const TransformerBlock& block, UnitGroup group,
                      const ColumnStatistics& statistics, std::uint64_t seed, Tower tower,
                      std::int64_t number) {
  const std::int64_t units = UnitCount(block, group);
  const Linear& map = ConsumerOf(block, group);
  switch (score) {
    case UnitScore::kWeight:
      return UnitNorms(WeightSquares(map), units);
    case UnitScore::kActivation:
      return UnitNorms(statistics.activation, units);
    case UnitScore::kProduct:
      return UnitNorms(WeightSquares(map), units) * UnitNorms(statistics.activation, units);
    case UnitScore::kGradient:
      return UnitNorms(statistics.gradient, units);
    case UnitScore::kRandom:
      break;
  }
  const std::uint64_t place = 2 * static_cast<std::uint64_t>(tower) + static_cast<unsigned>(group);
  CounterRandom random(seed, RandomStream::kUnits, place, static_cast<std::uint64_t>(number));
  at::Tensor drawn = at::empty({units}, at::kDouble);
  double* out = drawn.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < units; ++i) out[i] = random.Uniform();
  return drawn;
}

std::vector<Units> BestUnits(const std::vector<at::Tensor>& scores,
                             const std::vector<Units>& excluded, std::int64_t count, bool largest) {
  struct Unit {
    double score;
    std::size_t block;
    std::int64_t number;
  };
  std::vector<Unit> all;
  for (std::size_t block = 0; block < scores.size(); ++block) {
    const double* values = scores[block].const_data_ptr<double>();
    for (std::int64_t i = 0; i < scores[block].numel(); ++i) {
      if (std::ranges::find(excluded[block], i) != excluded[block].end()) continue;
      all.push_back({largest ? -values[i] : values[i], block, i});
    }
  }
  std::ranges::stable_sort(all, {}, &Unit::score);
  if (count < std::ssize(all)) all.resize(static_cast<std::size_t>(count));
  std::vector<Units> best(scores.size());
  for (const Unit& unit : all) best[unit.block].push_back(unit.number);
  for (Units& of_block : best) std::ranges::sort(of_block);
  return best;
}

Units ChosenFirst(const Units& chosen, std::int64_t count) {
  Units order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_partition(
      order, [&](std::int64_t unit) { return std::ranges::find(chosen, unit) != chosen.end(); });
  return order;
}

void Permute(TransformerBlock& block, UnitGroup group, const Units& order) {
  Units sorted = order;
  std::ranges::sort(sorted);
  if (sorted != ChosenFirst({}, UnitCount(block, group))) {
    throw std::invalid_argument(fmt::format("an order of {} must hold each of the {} once",
                                            NameOf(group), UnitCount(block, group)));
  }
  const at::NoGradGuard no_grad;
  const at::Tensor units = at::tensor(order, at::kLong).to(block.in_proj.weight.device());
  if (group == UnitGroup::kHeads) {
    const auto [heads, qk, v, ffn] = block.shape;
    ReorderRows(block.in_proj, 0, heads * qk, qk, units);
    ReorderRows(block.in_proj, heads * qk, heads * qk, qk, units);
    ReorderRows(block.in_proj, 2 * heads * qk, heads * v, v, units);
  } else {
    ReorderRows(block.c_fc, 0, block.shape.ffn, 1, units);
  }
  Reorder(ConsumerOf(block, group).weight, 1, UnitWidth(block, group), units);
}

}  // namespace fastclip
