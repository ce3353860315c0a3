#pragma once

#include <cstdint>
#include <string>

#include "trainer/config/config.h"
#include "trainer/model/clip_model.h"
#include "trainer/optim/optimizer.h"
#include "trainer/run/report_lines.h"

namespace c10 {
class OutOfMemoryError;
}  // namespace c10

namespace fastclip {

/// Bytes that training takes on the device of a rank, an estimate. Widths and counts of rows are
/// those of the largest rank.
struct RankMemory {
  double weights = 0, gradients = 0, moments = 0;
  double state = 0;       ///< per-sample state, if it is on the device
  double row = 0;         ///< activations of a row of a micro-batch
  double image = 0;       ///< a row's image, held also while another micro-batch is computed
  double upload = 0;      ///< a row as it is copied to a GPU, for this step and for the next one
  double inputs = 0;      ///< what a recorded step reads of a row; 0: steps are not recorded
  double features = 0;    ///< a row's features and their gradients, on each rank for all rows
  double number = 4;      ///< of a similarity
  double evaluation = 0;  ///< the passes of an evaluation; 0: there is none
  bool on_gpu = false;
  int ranks = 1;
  std::int64_t micro_batches = 1;

  bool recorded() const { return inputs > 0; }
  /// Activations of one micro-batch.
  double Held(std::int64_t rows) const;
  /// Those, and an evaluation's. It uses what a step has given back, unless steps are recorded: a
  /// record keeps its memory.
  double Passes(std::int64_t rows) const;
  /// What the step needs besides, for `rows` rows a rank: uploads, waiting images, features and
  /// similarities of the objective; on a GPU also the driver's context, workspaces of cuBLAS and
  /// cuDNN, and NCCL's buffers.
  double Besides(std::int64_t rows) const;
  double Total(std::int64_t rows) const;
  /// The most rows a rank, a multiple of micro_batches, for which Total() is at most `bytes`, less
  /// a twentieth for what the allocator cannot use; 0: not even one fits.
  std::int64_t RowsThatFit(double bytes) const;
};

/// `state`: bytes of the per-sample state of the largest rank.
RankMemory MemoryOf(const TrainConfig& config, const ModelConfig& model_config,
                    const ClipModel& model, const Optimizer& optimizer, double state, int ranks,
                    bool on_gpu);

/// "largest batch that fits in 85.9 GB: about 4096 (512 rows per GPU)", or that none does.
std::string DescribeFit(const RankMemory& memory, double bytes);

/// Bytes of the smallest visible GPU; 0 if there is none.
std::int64_t SmallestGpu();

/// What a dry run plans for.
struct PlannedMemory {
  std::int64_t rows = 0;  ///< of the largest rank
  double state = 0;       ///< bytes of its per-sample state, wherever that is
  double gpu_bytes = 0;   ///< of a GPU; 0: unknown, or the run is on the CPU
};
/// Adds the lines of a dry run about memory. Returns a warning if it does not suffice, or "".
std::string AddMemoryLines(ReportLines& lines, const RankMemory& memory, const PlannedMemory& plan);

/// What to do where the memory of the device was not enough for `rows` rows. `bytes`: of the
/// device; 0: unknown.
std::string AdviseOnMemory(const RankMemory& memory, std::int64_t rows, double bytes);
/// The same for an evaluation, which ended by `error`.
std::string AdviseOnEvaluation(const TrainConfig& config, const c10::OutOfMemoryError& error);

/// What was asked for: the first sentence of LibTorch's text.
std::string CauseOf(const c10::OutOfMemoryError& error);

}  // namespace fastclip
