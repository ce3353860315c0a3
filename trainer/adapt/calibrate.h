#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "trainer/adapt/selection.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

class ColumnMeter;

/// Measures what S²FT's scores need, in all passes through a model while it lives:
///
///     Calibration calibration(model, {.gradients = true});
///     for (const Batch& batch : a_hundredth_of_the_data) {
///       … forward, loss, backward …
///       calibration.EndBatch();
///     }
///     data.statistics = calibration.statistics();
///
/// With gradients, only the passes that build a graph count, and the model's parameters are frozen
/// meanwhile: backward computes no other gradients than the measured ones, which take as much
/// memory as the weights of the maps. Without, forward passes are enough. Padding of captions
/// counts in activations, as far as it is computed. Sums of activations over several ranks are
/// those of all their rows: add them up.
///
/// Before training: tuners may be attached already, also those whose columns are to be chosen. Make
/// Towers before it. It must not outlive the model.
class Calibration {
 public:
  struct Options {
    bool gradients = false;
  };
  Calibration(ClipModel& model, const Options& options);
  ~Calibration();
  Calibration(const Calibration&) = delete;
  Calibration& operator=(const Calibration&) = delete;

  /// Ends a batch, whose gradient is the sum over all passes since the last one. `sum_over_ranks`
  /// is called for each gradient [out, in], to add those of other ranks to it in place.
  void EndBatch(const std::function<void(at::Tensor&)>& sum_over_ranks = {});
  /// By site, of all blocks of both transformers. Gradients are of the batches that have ended: the
  /// squares of a batch's gradient are summed over the batches.
  std::map<std::string, ColumnStatistics> statistics() const;

 private:
  ClipModel& model_;
  std::map<std::string, std::shared_ptr<const ColumnMeter>> meters_;
  std::vector<at::Tensor> frozen_;
};

}  // namespace fastclip
