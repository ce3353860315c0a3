#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace fastclip {

/// A checkpoint in a run folder, as its name tells of it. It may be damaged.
struct ListedCheckpoint {
  std::int64_t step = 0;
  bool replaced = false;  ///< a complete one that a new one of the same step was replacing
  std::filesystem::path path;
};

/// What "step_1000" tells; nothing for any other name.
std::optional<ListedCheckpoint> ParseCheckpointName(const std::filesystem::path& path);

/// The checkpoints of a run folder, newest first. Throws std::filesystem::filesystem_error if they
/// cannot be listed.
std::vector<ListedCheckpoint> ListCheckpoints(const std::string& run_folder);

}  // namespace fastclip
