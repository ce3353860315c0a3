#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// The preset that the mistyped model `name` may mean; "" if there is none. It has the same size
/// and the same activation: ViT-H-14 is not ViT-L-14, and a model with the other activation would
/// load the same weights and be silently worse.
std::string PresetMeant(const std::string& name, const std::vector<std::string>& presets);

}  // namespace fastclip
