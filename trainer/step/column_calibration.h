#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapt/selection.h"
#include "trainer/model/clip_model.h"
#include "trainer/step/train_step.h"

namespace fastclip {

/// Measures what S²FT's scores need on batches of a run, before it trains. Model, state and
/// optimizer stay as they are.
///
/// The statistics are those of the batches' rows and of their loss: the same up to rounding for
/// every number of ranks and micro-batches. Activations are of real tokens alone, since captions of
/// one length are encoded together. What it borrows must outlive it.
class ColumnCalibration {
 public:
  /// `autocast`: as TrainStep has it. `need`: of NeedOf().
  ColumnCalibration(ClipModel& model, TrainStep& step, Communicator& comm, CalibrationNeed need,
                    std::optional<at::ScalarType> autocast);

  /// A batch. A collective.
  void Add(const StepInput& input);
  /// Of all batches and ranks, by site. A collective; call it once, at the end.
  std::map<std::string, ColumnStatistics> Finish();

 private:
  void AddActivations(const StepInput& input);
  void AddGradients(const StepInput& input);

  ClipModel& model_;
  TrainStep& step_;
  Communicator& comm_;
  CalibrationNeed need_;
  std::optional<at::ScalarType> autocast_;
  std::map<std::string, ColumnStatistics> sums_;
};

}  // namespace fastclip
