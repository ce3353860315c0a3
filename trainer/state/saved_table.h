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

/// The sample table of a checkpoint: one file per rank, in lane order. Rows are read on demand: a
/// rank finds its lanes with a few headers and reads only their bytes. Does not check hashes;
/// FindNewestCheckpoint() does.
class SavedTable {
 public:
  /// Reads the header of rank 0's file. REQUIRES: at least one file. All methods throw
  /// std::runtime_error with the file.
  explicit SavedTable(std::vector<std::string> files);
  ~SavedTable();
  SavedTable(SavedTable&&) noexcept;
  SavedTable& operator=(SavedTable&&) noexcept;

  const std::vector<std::string>& columns() const { return columns_; }
  at::ScalarType type() const { return type_; }

  /// Reads whole lanes, ordered by lane, then slot, directly into `to`: [rows, columns],
  /// contiguous, on the CPU. Converts to its dtype.
  void Read(LaneRange lanes, const at::Tensor& to) const;
  /// Reads single rows, in any order: [places, columns] of type().
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

/// Fills `table`, in blocks, with the rows of the same records in a table that was saved with the
/// order `before`. REQUIRES: the same records and columns.
void CarryOver(const SavedTable& saved, const OrderPlan& before, SampleTable& table);

}  // namespace fastclip
