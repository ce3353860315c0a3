#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// How the sources of a list joined by "::" are mixed: one of the three lists, with one value per
/// source. If none is set, the records are read as one source.
struct MixOptions {
  /// Relative shares of an epoch's rows.
  std::vector<double> weights{};
  /// How often an epoch takes each record. With epoch_samples only their ratios count, like
  /// OpenCLIP's upsampling factors.
  std::vector<double> repeats{};
  /// Rows of an epoch.
  std::vector<std::int64_t> counts{};
  /// Total rows of an epoch, for weights, repeats or `resampled`. 0: the sum for repeats, else the
  /// number of records.
  std::int64_t epoch_samples = 0;
  /// Draw records with replacement (OrderOptions::resampled), from a mix or one source.
  bool resampled = false;
};

/// The parts of OrderOptions for sources of these sizes; empty if nothing is mixed. Throws
/// std::invalid_argument with the reason: two of the lists, not one value per source, values below
/// 0 or all 0, a single source.
std::vector<MixPart> MixOf(const MixOptions& mix, std::span<const std::int64_t> sizes);

}  // namespace fastclip
