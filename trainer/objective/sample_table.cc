#include "trainer/objective/sample_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <unordered_set>
#include <utility>

namespace fastclip {

SampleTable::SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
                         std::vector<double> initial, at::ScalarType dtype)
    : plan_(plan), lanes_(lanes), columns_(std::move(columns)) {
  for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane) {
    lane_start_.push_back(rows_);
    rows_ += plan_.lane_size(lane);
  }
  values_ = at::empty({rows_ + 1, static_cast<std::int64_t>(columns_.size())}, dtype);
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    values_.select(1, static_cast<std::int64_t>(column)).fill_(initial.at(column));
  }
}

std::int64_t SampleTable::RowOf(std::int64_t index) const {
  if (index < 0 || index >= plan_.options().size) {
    throw std::out_of_range(
        fmt::format("SampleIndex {} is out of range for {} records", index, plan_.options().size));
  }
  const OrderPlan::Place place = plan_.PlaceOf(SampleIndex{index});
  if (place.lane < lanes_.first || place.lane >= lanes_.last) {
    throw std::out_of_range(
        fmt::format("SampleIndex {} is in lane {}, but this rank has lanes [{}, {})", index,
                    place.lane, lanes_.first, lanes_.last));
  }
  return lane_start_[static_cast<std::size_t>(place.lane - lanes_.first)] + place.slot;
}

void SampleTable::ForEachRecord(
    const std::function<void(std::span<const std::int64_t>)>& visit) const {
  constexpr std::size_t kBlock = 1 << 16;
  std::vector<std::int64_t> some;
  for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane) {
    for (std::int64_t slot = 0; slot < plan_.lane_size(lane); ++slot) {
      if (const auto index = plan_.IndexAt({.lane = lane, .slot = slot})) {
        some.push_back(ToInt(*index));
      }
      if (some.size() < kBlock) continue;
      visit(some);
      some.clear();
    }
  }
  if (!some.empty()) visit(some);
}

void SampleTable::MoveTo(at::Device device) { values_ = values_.to(device); }

SampleTable::Rows SampleTable::Find(std::span<const std::int64_t> indices) const {
  const bool on_cpu = values_.device().is_cpu();
  Rows rows{.count = std::ssize(indices), .host = {}, .on_table = {}};
  rows.host = at::empty({2, rows.count}, at::TensorOptions(at::kLong).pinned_memory(!on_cpu));
  auto* const from = rows.host.mutable_data_ptr<std::int64_t>();
  std::int64_t* const to = from + rows.count;
  std::unordered_set<std::int64_t> later;
  for (std::int64_t i = rows.count - 1; i >= 0; --i) {
    from[i] = RowOf(indices[static_cast<std::size_t>(i)]);
    to[i] = later.insert(from[i]).second ? from[i] : rows_;
  }
  rows.on_table =
      on_cpu ? rows.host : rows.host.to(values_.device(), at::kLong, /*non_blocking=*/true);
  return rows;
}

at::Tensor SampleTable::Read(const Rows& rows) const {
  return values_.index_select(0, rows.on_table[0]);
}

void SampleTable::Write(const Rows& rows, const at::Tensor& values) {
  if (columns_.empty()) return;  // an objective without state hands no rows
  if (values.dim() != 2 || values.size(0) != rows.count || values.size(1) != values_.size(1)) {
    throw std::invalid_argument(fmt::format("expected shape [{}, {}], got [{}]", rows.count,
                                            values_.size(1), fmt::join(values.sizes(), ", ")));
  }
  values_.index_copy_(0, rows.on_table[1], values.detach().to(values_.options()));
}

}  // namespace fastclip
