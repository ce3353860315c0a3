#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "trainer/adapt/recipe.h"
#include "trainer/adapters/adapter.h"

namespace fastclip {

/// S²FT at one linear map: columns `index` of its weight have these values.
struct ColumnSite {
  Site site;
  at::Tensor index;   ///< [k] int64, ascending
  at::Tensor values;  ///< [out, k]
};

/// Those of an adapter. REQUIRES: CheckAdapter().
std::vector<ColumnSite> ColumnSites(const Adapter& adapter);
/// A recipe that names the columns' heads and channels.
std::vector<std::string> ColumnRecipe(const std::vector<ColumnSite>& sites,
                                      const ModelConfig& model);
/// The same change of the weights as LoRA: r = alpha = k, A [k, in] has a one in each row, and
/// B [out, k] is what the columns differ from `base` by. So B A is the change exactly.
Adapter ColumnsAsLora(const Adapter& adapter, const NamedTensors& base);

}  // namespace fastclip
