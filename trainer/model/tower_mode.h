#pragma once

namespace fastclip {

/// Mode of a forward pass. Only batch norm depends on it.
enum class TowerMode {
  kEvaluate,    ///< normalizes by the running statistics; writes nothing
  kTrain,       ///< normalizes by the batch's statistics and updates the running ones
  kTrainAgain,  ///< like kTrain without updating: the second of two passes
};

}  // namespace fastclip
