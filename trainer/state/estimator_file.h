#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/sources/record_keys.h"
#include "trainer/objective/sample_table.h"

namespace fastclip {

/// Per-sample state as the published FastCLIP code keeps it in its checkpoints: tensors with one
/// row an integer, [rows] or [rows, 1], in a .safetensors file. u_im and u_tt are the estimators of
/// image and text anchors, 0 where never seen; with a temperature a sample there are tau_*,
/// m_grad_tau_*, v_grad_tau_*, and bound_*, by whose exp() u is divided (that code keeps them in
/// epoch_N_tau_rank_R.pt). The row of a record is its key, or without keys its SampleIndex.

struct ImportedEstimators {
  std::vector<std::string> tensors;  ///< those of the file that were of use
  std::int64_t records = 0;          ///< of these lanes that were given a row
  std::int64_t never_seen = 0;       ///< of them whose row has no estimator of the image or text
  std::int64_t not_finite = 0;       ///< u that are NaN or infinite: they begin anew, too
  std::int64_t without_key = 0;      ///< of these lanes that have none: they stay as they are
};
/// Fills a table of some lanes from a file, of which it reads their rows alone; columns that the
/// file does not have stay. Throws
/// std::runtime_error: no u_im and u_tt, tau_* without bound_*, tensors of unlike sizes, a key past
/// their rows, values that no run has (u below 0: it may be ln u).
ImportedEstimators ImportEstimators(const std::string& path, const RecordKeys* keys,
                                    SampleTable& table);

/// What the header of such a file tells: throws std::runtime_error where it has no u_im and u_tt,
/// or fewer rows than `records` (0: rows are found by key).
void CheckEstimatorFile(const std::string& path, std::int64_t records);

/// The names of a row's values in such a file, for a table's columns. With a temperature a sample
/// they have bound_* even where the table does not.
std::vector<std::string> EstimatorNames(const std::vector<std::string>& columns);
/// Rows of a table, [n, columns], as such a file has them: double [n, EstimatorNames()].
at::Tensor EstimatorRows(const std::vector<std::string>& columns, const at::Tensor& rows);

/// The rows of some records in a table, [n, columns].
using RowsOfRecords = std::function<at::Tensor(std::span<const std::int64_t> indices)>;
/// Writes the rows of all records as float32, [largest key + 1, 1] each; rows that are no record's
/// are as at the start of a run with the temperature `tau_init`. Returns how many u are past
/// float32 and so infinite, which the published code takes for never seen. Throws
/// std::runtime_error.
std::int64_t ExportEstimators(const std::string& path, const RecordKeys* keys,
                              const std::vector<std::string>& columns, const RowsOfRecords& read,
                              std::int64_t records, double tau_init);

}  // namespace fastclip
