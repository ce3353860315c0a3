#pragma once

#include <string>
#include <vector>

#include "trainer/adapters/adapter.h"
#include "trainer/base/named_tensors.h"

namespace fastclip {

/// Tuners that cannot be merged, "p_adapter image.block.*.ffn r=10": they are no change of a
/// weight. Empty: the adapter can be merged.
std::vector<std::string> NotMergeable(const Adapter& adapter);

/// A change of some columns of a weight (of S²FT), or of all of them.
struct WeightChange {
  std::string weight;  ///< OpenCLIP's name
  at::Tensor index;    ///< [k] int64 columns; undefined: all
  at::Tensor before;   ///< what was there, in the base's type
};

/// Weights with an adapter in them, and what they replaced.
struct MergedWeights {
  NamedTensors tensors;
  std::vector<WeightChange> changes;
};

/// Merges an adapter into its base. `base` is not changed.
///
/// W + scaling · B A is computed in float32 (float64 if the base is), and rounded to the base's
/// type once. S²FT's columns and parameters of the model itself are replaced. REQUIRES:
/// CheckAdapter(), and that `base` are the tensors of its model. Throws std::runtime_error with
/// NotMergeable().
MergedWeights Merge(const NamedTensors& base, const Adapter& adapter);

/// Puts back what was there before, to the bit.
void Unmerge(NamedTensors& tensors, const std::vector<WeightChange>& changes);

/// The changes as a file of their own, with `identities` as metadata.
struct UnmergeFile {
  std::vector<WeightChange> changes;
  std::string merged, base;  ///< BaseHash() of both
};
void WriteUnmergeFile(const std::string& path, const UnmergeFile& file);
/// Throws std::runtime_error with the file and the reason.
UnmergeFile ReadUnmergeFile(const std::string& path);
/// "DIR/NAME.unmerge.safetensors", beside "DIR/NAME.safetensors".
std::string UnmergeFileOf(const std::string& merged);

/// Throws std::runtime_error if the adapter belongs to other weights than `base`. `where` names the
/// adapter, `weights` the base. Nothing is checked if the adapter's base is unknown: then returns
/// a note for the user, else "".
std::string CheckBase(const Adapter& adapter, const std::string& base_hash,
                      const std::string& where, const std::string& weights);

}  // namespace fastclip
