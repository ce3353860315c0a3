#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "trainer/objective/sample_table.h"

namespace fastclip {

/// The sample table of a checkpoint, as its ranks saved it: one file a rank, in lane order. Rows
/// are read when they are asked for: a rank that wants its lanes finds them by a few headers, and
/// reads its own bytes alone. Nothing here checks a hash: that is FindNewestCheckpoint()'s.
class SavedTable {
 public:
  /// Of the file of rank 0 the header is read. REQUIRES: one file or more. Throws
  /// std::runtime_error naming the file, as all that follows does.
  explicit SavedTable(std::vector<std::string> files);
  ~SavedTable();
  SavedTable(SavedTable&&) noexcept;
  SavedTable& operator=(SavedTable&&) noexcept;

  const std::vector<std::string>& columns() const { return columns_; }
  at::ScalarType type() const { return type_; }

  /// Whole lanes, in lane order then slot order, straight into `to`: [rows, columns], contiguous,
  /// on the CPU. Another number type is converted on the way.
  void Read(LaneRange lanes, const at::Tensor& to) const;
  /// Single rows, in any order: [places, columns] of type().
  at::Tensor Read(std::span<const LanePlace> places) const;

 private:
  struct Part;
  struct OpenParts;
  std::shared_ptr<const Part> Open(std::size_t file) const;
  std::shared_ptr<const Part> PartWith(std::int64_t lane) const;
  void ReadRows(const Part& part, std::int64_t first, const at::Tensor& to) const;

  std::vector<std::string> files_;
  std::unique_ptr<OpenParts> open_;
  std::vector<std::string> columns_;
  at::ScalarType type_;
};

/// Fills `table` with the rows of the same records in a table that was saved under the order
/// `before`, some at a time. REQUIRES: the same records and columns.
void CarryOver(const SavedTable& saved, const OrderPlan& before, SampleTable& table);

}  // namespace fastclip
