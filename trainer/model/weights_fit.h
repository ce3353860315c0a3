#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastclip {

struct ModelConfig;

/// A tensor's name and shape.
struct NamedShape {
  std::string name;
  std::vector<std::int64_t> shape;
  bool may_be_missing = false;  ///< of `ours`: a file need not have it
};

/// Checks that a file's tensors, `theirs`, match those of a model, `ours`. Throws
/// std::runtime_error with `where` and the model, the first few tensors that are missing, unknown
/// or have another shape, and a remedy if one is known: another image size, context length,
/// vocabulary or library. As in PyTorch, num_batches_tracked can be missing. logit_bias is
/// optional: only the sigmoid loss has one. Tensors with one element match each other: some
/// OpenCLIP files store logit_scale as [1].
void CheckWeightsFit(const ModelConfig& model, const std::vector<NamedShape>& ours,
                     const std::vector<NamedShape>& theirs, const std::string& where);

}  // namespace fastclip
