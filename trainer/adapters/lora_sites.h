#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "trainer/adapt/lora.h"
#include "trainer/adapt/recipe.h"
#include "trainer/adapters/adapter.h"

namespace fastclip {

/// LoRA at one linear map: y + scaling · B A x.
struct LoraSite {
  Site site;
  LoraOptions options;
  at::Tensor a, b;  ///< [r, in], [out, r]
};

/// The pairs of an adapter's lora tuners, by tower, block and place. REQUIRES: CheckAdapter().
std::vector<LoraSite> LoraSites(const Adapter& adapter);
/// The shortest recipe that attaches them.
std::vector<std::string> LoraRecipe(const std::vector<LoraSite>& sites);
/// `like`'s model and base with these pairs alone.
Adapter LoraAdapter(const Adapter& like, const std::vector<LoraSite>& sites);

}  // namespace fastclip
