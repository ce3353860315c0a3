#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/record_keys.h"
#include "trainer/state/saved_table.h"

namespace fastclip {

struct EstimatorOptions {
  std::string run;       ///< a run folder, or a checkpoint in one
  std::string shards;    ///< empty: the run's
  std::string index_by;  ///< empty: the run's
};

/// The estimators of a checkpoint, and the records that they belong to.
class SavedEstimators {
 public:
  /// Reads the keys of all records if there is a field of keys. Throws UsageError for a checkpoint
  /// without its run, and std::runtime_error for other data than the run's and for an objective
  /// without estimators.
  explicit SavedEstimators(const EstimatorOptions& options);

  const RecordSource& source() const { return *source_; }
  /// Null: the index of a record is its key.
  const RecordKeys* keys() const { return keys_ ? &*keys_ : nullptr; }
  const std::vector<std::string>& columns() const { return table_->columns(); }
  /// The estimators of some records, [n, columns], read from the checkpoint.
  at::Tensor Rows(std::span<const std::int64_t> indices) const;
  double tau_init() const { return tau_init_; }
  /// The field that the records' integers are from, or "index".
  const std::string& field() const { return field_; }

  /// The record of each key that exists.
  std::map<std::int64_t, std::int64_t> Find(const std::vector<std::int64_t>& wanted) const;

 private:
  double tau_init_ = 0;
  std::string field_;
  std::unique_ptr<RecordSource> source_;
  std::optional<OrderPlan> plan_;
  std::optional<SavedTable> table_;
  std::optional<RecordKeys> keys_;
};

}  // namespace fastclip
