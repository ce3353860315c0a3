#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/adapt/attach.h"
#include "trainer/adapt/selection.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// The columns of a weight that S²FT trains or has trained: those at `index` [k] int64, ascending.
struct SelectedColumns {
  std::string site;  ///< "image.block.3.o"
  at::Tensor index;
  at::Tensor columns;  ///< [out, k] as they are: P, a handle
  at::Tensor start;    ///< [out, k] as they were in the base
  at::Tensor weight;   ///< [out, in], a handle; its columns can be older than P
};

/// Those of a model, in the order of its blocks. Empty without S²FT.
std::vector<SelectedColumns> SelectedColumnsOf(const ClipModel& model);

/// Trains the columns at other indices, by site, from now on; starts anew from the base. Throws
/// std::invalid_argument, before it changes anything, if a site has no such tuner or an index is
/// not k ascending columns of its weight.
void MoveColumns(const ClipModel& model, const std::map<std::string, at::Tensor>& indices);

/// What a calibration must measure for a recipe.
enum class CalibrationNeed : std::uint8_t { kNothing, kActivations, kGradients };
CalibrationNeed NeedOf(const AdaptOptions& options, const ModelConfig& model);
/// How many batches a calibration has, of `epoch` an epoch.
std::int64_t CalibrationBatches(const AdaptOptions& options, std::int64_t epoch);

/// What is done about the choice before the first step, a line each.
std::vector<std::string> DescribeChoice(const AdaptOptions& options, const ModelConfig& model,
                                        std::int64_t epoch);

/// Whether a recipe has an S²FT tuner.
bool HasColumns(const AdaptOptions& options, const ModelConfig& model);
/// Checks that the units that a recipe asks for are there once those of other adapters are left
/// out. Throws like ChooseColumns().
void CheckColumnsLeft(const ModelConfig& config, const AdaptOptions& options,
                      const std::map<std::string, at::Tensor>& taken);

/// Chooses the columns of all S²FT tuners of a recipe. Call it after AttachTuners() once the base
/// weights are loaded; at select=random without `taken` it changes nothing. Ranks must have equal
/// weights and data, or take the indices of one of them. Throws std::invalid_argument: no
/// statistics where they are needed, too few columns left, a picked unit that is taken.
void ChooseColumns(const ClipModel& model, const AdaptOptions& options, const SelectionData& data);

/// What was learned of a weight: ΔW is `delta` [out, k] at columns `index` [k] and zero elsewhere.
struct ColumnDelta {
  at::Tensor index, delta;
};

/// Columns set in weights that are in use, to be taken out again.
///
/// Keeps what was there, so that the weights get their former values to the bit. Adding a delta and
/// subtracting it would not do that.
class MountedColumns {
 public:
  /// Sets columns `index` of `weight` to `values` [out, k].
  void Set(const at::Tensor& weight, const at::Tensor& index, const at::Tensor& values);
  /// Adds a delta to columns of `weight`: computed in the wider type of both, rounded once.
  void Add(const at::Tensor& weight, const ColumnDelta& delta);
  /// Takes everything out.
  void Restore();

 private:
  struct Kept {
    at::Tensor weight, index, values;
  };
  std::vector<Kept> kept_;
};

/// Rows of a batch that one adapter serves.
struct ServedRows {
  std::int64_t first, count;
  ColumnDelta delta;
};
/// Adds to y [rows, out] = W x what the adapter of each row changes: several adapters in one batch,
/// none of them merged. x [rows, in].
void AddServed(at::Tensor y, const at::Tensor& x, const std::vector<ServedRows>& served);

}  // namespace fastclip
