#include "trainer/objective/sample_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace fastclip {

SampleTable::SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
                         std::vector<double> initial, at::ScalarType dtype)
    : plan_(plan), lanes_(lanes), columns_(std::move(columns)) {
  std::int64_t rows = 0;
  for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane) {
    lane_start_.push_back(rows);
    rows += plan_.lane_size(lane);
  }
  values_ = at::empty({rows, static_cast<std::int64_t>(columns_.size())}, dtype);
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

at::Tensor SampleTable::Read(std::span<const std::int64_t> indices) const {
  at::Tensor rows = at::empty({static_cast<std::int64_t>(indices.size())}, at::kLong);
  auto* row = rows.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t index : indices) *row++ = RowOf(index);
  return values_.index_select(0, rows);
}

void SampleTable::Write(std::span<const std::int64_t> indices, const at::Tensor& rows) {
  if (columns_.empty()) return;  // an objective without state hands no rows
  if (rows.dim() != 2 || rows.size(0) != static_cast<std::int64_t>(indices.size()) ||
      rows.size(1) != values_.size(1)) {
    throw std::invalid_argument(fmt::format("expected shape [{}, {}], got [{}]", indices.size(),
                                            values_.size(1), fmt::join(rows.sizes(), ", ")));
  }
  const at::Tensor source = rows.detach().to(values_.options()).contiguous();
  const std::size_t bytes = static_cast<std::size_t>(values_.size(1)) * values_.element_size();
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* to = static_cast<char*>(values_.mutable_data_ptr());
  for (const std::int64_t index : indices) {
    std::memcpy(to + static_cast<std::size_t>(RowOf(index)) * bytes, from, bytes);
    from += bytes;
  }
}

}  // namespace fastclip
