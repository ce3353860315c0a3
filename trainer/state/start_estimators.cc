#include "trainer/state/start_estimators.h"

#include <fmt/format.h>

#include <filesystem>

#include "trainer/state/checkpoint.h"

namespace fastclip {

StartEstimators FindStartEstimators(const std::string& weights, std::uint64_t data_hash,
                                    const std::vector<std::string>& columns) {
  StartEstimators start;
  start.line = fmt::format("weights from {}", weights);
  const std::filesystem::path folder = std::filesystem::path(weights).parent_path();
  if (columns.empty() || !std::filesystem::exists(folder / "checkpoint.json")) return start;
  const CheckpointMeta meta = ReadCheckpointMeta(folder.string());
  if (meta.data_hash != data_hash) {
    start.line += "; its estimators belong to other data and are not used";
    return start;
  }
  std::optional<SavedTable> table = OpenTable(folder.string());
  if (!table || table->columns() != columns) {
    start.line += "; its estimators belong to another objective and are not used";
  } else {
    start.line = fmt::format("weights and estimators from {}", folder.string());
    start.order = meta.order;
    start.table = std::move(table);
  }
  return start;
}

}  // namespace fastclip
