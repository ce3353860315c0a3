#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// Named float columns, one row for each record of this rank's lanes, in lane order then slot
/// order.
class SampleTable {
 public:
  /// `initial` is the value of each column for a sample never seen; `dtype` float32, or float64 for
  /// precision = "fp64".
  SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
              std::vector<double> initial, at::ScalarType dtype);

  const std::vector<std::string>& columns() const { return columns_; }
  /// All rows, [rows, columns], for checkpoints and statistics.
  at::Tensor& values() { return values_; }
  /// visit(indices) for the SampleIndex of all rows, in their order, some at a time; slots without
  /// a record are left out.
  void ForEachRecord(const std::function<void(std::span<const std::int64_t>)>& visit) const;
  /// Rows of these SampleIndex (int64 [b], all in this rank's lanes): [b, columns].
  at::Tensor Read(std::span<const std::int64_t> indices) const;
  /// Sequential: the last of equal indices wins.
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
