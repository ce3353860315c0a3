#pragma once

namespace fastclip {

/// How a tower runs. Only batch normalisation tells the modes apart.
enum class TowerMode {
  kEvaluate,    ///< running statistics normalise; nothing is written
  kTrain,       ///< the batch's statistics normalise, and the running ones follow them
  kTrainAgain,  ///< the numbers of kTrain once more, without writing: the second of two passes
};

}  // namespace fastclip
