#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fastclip {

// Names in a run folder and in a checkpoint.
inline constexpr const char* kCheckpointFolder = "checkpoints";
inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kAdapterFile = "adapter_model.safetensors";
inline constexpr const char* kAdapterConfigFile = "adapter_config.json";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kOpenClipFile = "open_clip_config.json";
inline constexpr const char* kCheckpointFile = "checkpoint.json";

/// Ends the name of a checkpoint that is being written. See also kReplacedFolder.
inline constexpr std::string_view kUnfinished = ".tmp";

/// The sample table of a rank.
inline std::string StateName(std::size_t rank) {
  return "state_" + std::to_string(rank) + ".safetensors";
}

}  // namespace fastclip
