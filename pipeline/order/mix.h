#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/order/order_plan.h"

namespace fastclip {

/// How the sources of a list joined by "::" are mixed, a value a source: one of the three, or none
/// for their records as one source's.
struct MixOptions {
  /// Shares of an epoch's rows, relative to each other.
  std::vector<double> weights{};
  /// How often an epoch takes each record. With epoch_samples only their ratios count: OpenCLIP's
  /// upsampling factors.
  std::vector<double> repeats{};
  /// Rows of an epoch.
  std::vector<std::int64_t> counts{};
  /// Rows of an epoch all together, for weights and repeats, or with `resampled`. 0: of repeats
  /// what they add up to, else all records' number.
  std::int64_t epoch_samples = 0;
  /// Records come with replacement (OrderOptions::resampled), from a mix or from one source.
  bool resampled = false;
};

/// The parts of OrderOptions for sources of these sizes; empty where nothing is to be mixed. Throws
/// std::invalid_argument with the reason: two of the lists, not one value a source, values below 0
/// or all 0, a single source.
std::vector<MixPart> MixOf(const MixOptions& mix, std::span<const std::int64_t> sizes);

}  // namespace fastclip
