#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// Named float columns, one row per record of this rank's lanes, ordered by lane, then slot.
class SampleTable {
 public:
  /// `initial` is the initial value of each column; `dtype` is float32, or float64 for precision =
  /// "fp64".
  SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
              std::vector<double> initial, at::ScalarType dtype);

  const std::vector<std::string>& columns() const { return columns_; }
  /// All rows, [rows, columns], for checkpoints and statistics.
  at::Tensor& values() { return values_; }
  /// Calls visit(indices) with the SampleIndex of all rows in order, in blocks; skips slots without
  /// a record.
  void ForEachRecord(const std::function<void(std::span<const std::int64_t>)>& visit) const;
  /// Rows [b, columns] of these SampleIndex (all in this rank's lanes).
  at::Tensor Read(std::span<const std::int64_t> indices) const;
  /// Writes in order: of equal indices the last wins.
  void Write(std::span<const std::int64_t> indices, const at::Tensor& rows);

 private:
  std::int64_t RowOf(std::int64_t index) const;

  OrderPlan plan_;
  LaneRange lanes_;
  std::vector<std::string> columns_;
  std::vector<std::int64_t> lane_start_;  // first row of each lane of this rank
  at::Tensor values_;
};

}  // namespace fastclip
