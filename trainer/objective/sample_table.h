#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// Named float columns, one row per record of this rank's lanes, ordered by lane, then slot. On the
/// CPU, or on a GPU after MoveTo().
class SampleTable {
 public:
  /// The rows of some records, found once to read and write them.
  struct Rows {
    std::int64_t count = 0;
    at::Tensor host;      ///< [1, count] int64; for a GPU [2, count]: to read, and to write
    at::Tensor on_table;  ///< the same on the table's device
  };

  /// `initial` is the initial value of each column; `dtype` is float32, or float64 for precision =
  /// "fp64".
  SampleTable(const OrderPlan& plan, LaneRange lanes, std::vector<std::string> columns,
              std::vector<double> initial, at::ScalarType dtype);

  const std::vector<std::string>& columns() const { return columns_; }
  /// All rows, [rows, columns], for checkpoints and statistics, on the table's device.
  at::Tensor values() const { return values_.narrow(0, 0, rows_); }
  /// Calls visit(indices) with the SampleIndex of all rows in order, in blocks; skips slots without
  /// a record.
  void ForEachRecord(const std::function<void(std::span<const std::int64_t>)>& visit) const;
  /// Whether train.state = `where` puts state of so many bytes on the device of a GPU run.
  static bool BelongsOnDevice(const std::string& where, double bytes) {
    constexpr double kMost = 2.0 * (std::int64_t{1} << 30);
    return where == "device" || (where == "auto" && bytes <= kMost);
  }
  /// Puts the table on a GPU, where a step reads and writes it without a wait of the host. The rows
  /// that Find() gives are copied there on `copies` (trainer/base/upload.h).
  void MoveTo(at::Device device, const std::optional<c10::Stream>& copies = {});

  /// The rows of these SampleIndex, all in this rank's lanes. A GPU copies `host` late: keep the
  /// result until the host has read something that was computed after it.
  Rows Find(std::span<const std::int64_t> indices) const;
  /// [count, columns], on the table's device.
  at::Tensor Read(const Rows& rows) const;
  /// Writes in order: of equal indices the last wins.
  void Write(const Rows& rows, const at::Tensor& values);
  /// The same at once, for a table on the CPU.
  at::Tensor Read(std::span<const std::int64_t> indices) const { return Read(Find(indices)); }
  void Write(std::span<const std::int64_t> indices, const at::Tensor& values) {
    Write(Find(indices), values);
  }

 private:
  std::int64_t RowOf(std::int64_t index) const;

  OrderPlan plan_;
  LaneRange lanes_;
  std::vector<std::string> columns_;
  std::vector<std::int64_t> lane_start_;  // first row of each lane of this rank
  std::int64_t rows_ = 0;
  at::Tensor values_;  // on a GPU with a spare row at the end
  std::optional<c10::Stream> copies_;
};

}  // namespace fastclip
