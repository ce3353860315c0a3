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
};

/// Whether a file's tensors, `theirs`, are those of a model, `ours`. Throws std::runtime_error that
/// names `where` and the model, lists what is missing, unknown or of another shape (the first few
/// of each), and says what to do where that is known: another picture size, context length or
/// vocabulary, the names of another library. As in PyTorch, counts of batches may be missing. A
/// logit_bias may be there or not: only the sigmoid loss has one. Tensors of one number fit each
/// other: some of OpenCLIP's files keep logit_scale in a list of one.
void CheckWeightsFit(const ModelConfig& model, const std::vector<NamedShape>& ours,
                     const std::vector<NamedShape>& theirs, const std::string& where);

}  // namespace fastclip
