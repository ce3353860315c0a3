#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/model/block.h"

namespace fastclip {

/// Units of a block that only make sense as a whole: a head is rows of q, k and v and columns of
/// out_proj; a channel of the MLP is a row of c_fc and a column of c_proj. The latter map is the
/// consumer of the unit.
enum class UnitGroup : std::uint8_t { kHeads, kChannels };

/// Numbers of units, ascending, as they lie in the model.
using Units = std::vector<std::int64_t>;

/// The group whose consumer is the map at a place: "o" or "fc2".
UnitGroup GroupAt(std::string_view place);
const char* NameOf(UnitGroup group);  ///< "heads" or "channels"
std::int64_t UnitCount(const TransformerBlock& block, UnitGroup group);
/// Columns of the consumer that belong to a unit.
std::int64_t UnitWidth(const TransformerBlock& block, UnitGroup group);
Linear& ConsumerOf(TransformerBlock& block, UnitGroup group);
const Linear& ConsumerOf(const TransformerBlock& block, UnitGroup group);

/// The units' columns of the consumer, ascending: [units · width] int64; and back.
at::Tensor ColumnsOf(const Units& units, std::int64_t width);
Units UnitsOf(const at::Tensor& columns, std::int64_t width);

/// Sums of squares over the rows of a calibration, for each column of a consumer: [in] float64.
struct ColumnStatistics {
  at::Tensor activation{};  ///< of what the column is multiplied with
  at::Tensor gradient{};    ///< of the weight's gradient; undefined: not measured
};

/// What a selection depends on besides recipe and weights. By site, as "image.block.3.o".
struct SelectionData {
  /// For scores that need data.
  std::map<std::string, ColumnStatistics> statistics{};
  /// Columns that are not to be chosen, since other adapters have them: [k] int64.
  std::map<std::string, at::Tensor> taken{};
};

/// What units are ranked by: drawn at random; the L2 norm of the consumer's columns, of the
/// activations that enter them, the product of both; the norm of the columns' gradient.
enum class UnitScore : std::uint8_t { kRandom, kWeight, kActivation, kProduct, kGradient };

/// Scores of a block's units: [units] float64, on the CPU. A random one depends on `seed`, `tower`,
/// `group` and `number` (of the block) alone. REQUIRES: what `score` needs of `statistics`.
at::Tensor UnitScores(UnitScore score, const TransformerBlock& block, UnitGroup group,
                      const ColumnStatistics& statistics, std::uint64_t seed, Tower tower,
                      std::int64_t number);

/// The `count` entries of the blocks' scores with the largest or smallest values, by block; equal
/// ones in order. `excluded` [blocks] are not chosen. If fewer are left, returns fewer.
std::vector<Units> BestUnits(const std::vector<at::Tensor>& scores,
                             const std::vector<Units>& excluded, std::int64_t count, bool largest);

/// An order of all units: the chosen ones first, ascending, then the rest.
Units ChosenFirst(const Units& chosen, std::int64_t count);

/// Reorders a group's units in all maps that they are part of: place i holds what unit order[i]
/// was. The block computes what it did before. Throws std::invalid_argument if `order` does not
/// hold each unit once. REQUIRES: no tuners at the block's maps.
void Permute(TransformerBlock& block, UnitGroup group, const Units& order);

}  // namespace fastclip
