#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// The columns that adapters have trained, by site, ascending: SelectionData::taken.
///
/// `paths`: adapter folders, checkpoints or runs of fastclip adapt. Throws std::runtime_error, with
/// the path, if one cannot be read, has no columns of S²FT, belongs to a model of another shape or,
/// unless `base_hash` is empty, to other weights.
std::map<std::string, at::Tensor> TakenColumns(const std::vector<std::string>& paths,
                                               const ModelConfig& model,
                                               const std::string& base_hash = {});

}  // namespace fastclip
