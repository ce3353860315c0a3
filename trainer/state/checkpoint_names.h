#pragma once

namespace fastclip {

// Names in a run folder and in a checkpoint.
inline constexpr const char* kCheckpointFolder = "checkpoints";
inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kOpenClipFile = "open_clip_config.json";
inline constexpr const char* kCheckpointFile = "checkpoint.json";

}  // namespace fastclip
