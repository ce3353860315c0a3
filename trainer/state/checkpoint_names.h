#pragma once

namespace fastclip {

// Of a run's folder, and of a checkpoint's.
inline constexpr const char* kCheckpointFolder = "checkpoints";
inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kCheckpointFile = "checkpoint.json";

}  // namespace fastclip
