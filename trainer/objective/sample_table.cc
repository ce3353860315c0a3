#include "trainer/objective/sample_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "trainer/base/upload.h"

namespace fastclip {

SampleTable::SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
                         std::vector<double> initial, at::ScalarType dtype)
    : plan_(plan), lanes_(lanes), columns_(std::move(columns)) {
  for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane) {
    lane_start_.push_back(rows_);
    rows_ += plan_.lane_size(lane);
  }
  values_ = at::empty({rows_, static_cast<std::int64_t>(columns_.size())}, dtype);
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

void SampleTable::MoveTo(at::Device device, const std::optional<c10::Stream>& copies) {
  if (device.is_cpu()) return;
  copies_ = copies;
  values_ = at::cat({values_, values_.new_zeros({1, values_.size(1)})}).to(device);
}

SampleTable::Rows SampleTable::Find(std::span<const std::int64_t> indices) const {
  const bool on_cpu = values_.device().is_cpu();
  Rows rows{.count = std::ssize(indices), .host = {}, .on_table = {}};
  rows.host =
      at::empty({on_cpu ? 1 : 2, rows.count}, at::TensorOptions(at::kLong).pinned_memory(!on_cpu));
  auto* const from = rows.host.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < rows.count; ++i) {
    from[i] = RowOf(indices[static_cast<std::size_t>(i)]);
  }
  rows.on_table = rows.host;
  if (on_cpu) return rows;
  // A GPU writes in any order: of equal rows all but the last go to the spare one.
  std::unordered_set<std::int64_t> later;
  for (std::int64_t i = rows.count - 1; i >= 0; --i) {
    from[rows.count + i] = later.insert(from[i]).second ? from[i] : rows_;
  }
  rows.on_table = Uploaded(rows.host, values_.device(), /*non_blocking=*/true, copies_);
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
  const at::Tensor source = values.detach().to(values_.options()).contiguous();
  if (!values_.device().is_cpu()) {
    values_.index_copy_(0, rows.on_table[1], source);
    return;
  }
  const std::size_t bytes = static_cast<std::size_t>(values_.size(1)) * values_.element_size();
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* const to = static_cast<char*>(values_.mutable_data_ptr());
  const auto* const row = rows.host.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < rows.count; ++i, from += bytes) {
    std::memcpy(to + static_cast<std::size_t>(row[i]) * bytes, from, bytes);
  }
}

}  // namespace fastclip
