#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/base/console.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config.h"
#include "trainer/eval/class_set.h"
#include "trainer/run/zero_shot_set.h"

namespace fastclip {

/// The data of a run, and how its records are assigned to ranks.
struct OpenedData {
  std::vector<ListedFile> files;  ///< of `train`
  std::unique_ptr<RecordSource> train;
  std::unique_ptr<RecordSource> val;  ///< null: none
  ZeroShotSet zeroshot;
  OrderPlan plan;
  std::vector<std::int64_t> lanes_per_rank;
  LaneRange lanes;  ///< of this rank

  /// Rows of a batch on this rank.
  std::int64_t rows() const { return (lanes.last - lanes.first) * plan.rows_per_lane(); }
};

/// How this rank opens a list after rank 0. Rank 0 compares each file with its manifest; ranks with
/// the same list skip that, which saves load on a shared file system. A collective.
SourceOptions OfRank(SourceOptions options, const std::string& list, Communicator& comm);

/// Opens the lists of a config, with labels if there are `classes`, each on rank 0 first, and
/// prints warnings: truncated, damaged and missing shards do not stop training. A collective.
/// Throws ConfigError and what OpenSource() throws.
OpenedData OpenData(const LoadedConfig& config, const ClassSet& classes, Communicator& comm,
                    Console& console);

}  // namespace fastclip
