#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/order/order_options.h"
#include "trainer/state/saved_table.h"

namespace fastclip {

/// What a new run takes over from the checkpoint of train.init.
struct StartEstimators {
  std::optional<SavedTable> table;  ///< its estimators, if data and objective are the same
  OrderOptions order;               ///< the order in which `table` was saved
  std::string line;                 ///< "weights from …" and why the estimators are not used
};

/// Looks at the checkpoint that holds the weights file `weights`, if one does. `data_hash` and
/// `columns` (of the sample table) are those of the new run. Throws std::runtime_error if the
/// checkpoint cannot be read; its hashes are not checked.
StartEstimators FindStartEstimators(const std::string& weights, std::uint64_t data_hash,
                                    const std::vector<std::string>& columns);

}  // namespace fastclip
