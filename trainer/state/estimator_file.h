#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/sources/record_keys.h"
#include "trainer/objective/sample_table.h"

namespace fastclip {

/// Per-sample state in the layout of the published FastCLIP code: a .safetensors file of tensors
/// [rows] or [rows, 1]. u_im and u_tt are the estimators of image and text anchors, 0 if not seen
/// yet. With per-sample temperatures there are also tau_*, m_grad_tau_*, v_grad_tau_*, and bound_*
/// (u is divided by exp(bound)), which that code saves in epoch_N_tau_rank_R.pt. A record's row is
/// its key, or its SampleIndex if there are no keys.

struct ImportedEstimators {
  std::vector<std::string> tensors;  ///< tensors of the file that were used
  std::int64_t records = 0;          ///< records of these lanes that got a row
  std::int64_t never_seen = 0;       ///< of these, without an image or text estimator
  std::int64_t not_finite = 0;       ///< u that are NaN or infinite; they are also reset
  std::int64_t without_key = 0;      ///< records without a key; their rows do not change
};
/// Fills a table of some lanes from a file, reading only their rows; columns that are not in the
/// file do not change. Throws std::runtime_error: u_im or u_tt missing, tau_* without bound_*,
/// tensors of different sizes, a key past their rows, invalid values (u below 0: it may be ln u).
ImportedEstimators ImportEstimators(const std::string& path, const RecordKeys* keys,
                                    SampleTable& table);

/// Checks the header of such a file. Throws std::runtime_error if u_im or u_tt is missing or has
/// fewer rows than `records` (0: rows are found by key).
void CheckEstimatorFile(const std::string& path, std::int64_t records);

/// The tensor names of such a file for a table's columns. With per-sample temperatures they include
/// bound_* even if the table does not.
std::vector<std::string> EstimatorNames(const std::vector<std::string>& columns);
/// Converts rows of a table, [n, columns], to those of such a file: double [n, EstimatorNames()].
at::Tensor EstimatorRows(const std::vector<std::string>& columns, const at::Tensor& rows);

/// Returns the rows of some records in a table, [n, columns].
using RowsOfRecords = std::function<at::Tensor(std::span<const std::int64_t> indices)>;
/// Writes the rows of all records as float32, [largest key + 1, 1] each; rows without a record have
/// initial values, with the temperature `tau_init`. Returns the number of u that overflow float32
/// to infinity, which the published code treats as not seen. Throws std::runtime_error.
std::int64_t ExportEstimators(const std::string& path, const RecordKeys* keys,
                              const std::vector<std::string>& columns, const RowsOfRecords& read,
                              std::int64_t records, double tau_init);

}  // namespace fastclip
