#include "trainer/adapters/column_sites.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <stdexcept>

#include "trainer/adapters/lora_sites.h"
#include "trainer/adapters/peft_names.h"

namespace fastclip {
namespace {

constexpr std::string_view kIndex = ".index";
constexpr std::size_t kMostPickBytes = 4000;  // a recipe's text has a limit

}  // namespace

std::vector<ColumnSite> ColumnSites(const Adapter& adapter) {
  const std::map<std::string, at::Tensor> tensors(adapter.tensors.begin(), adapter.tensors.end());
  std::vector<ColumnSite> sites;
  for (const auto& [name, index] : adapter.tensors) {
    const auto at = SiteOfParameter(name);
    if (!at || at->name != "index") continue;
    sites.push_back({at->site, index.to(at::kLong),
                     tensors.at(name.substr(0, name.size() - kIndex.size()) + ".P")});
  }
  return sites;
}

std::vector<std::string> ColumnRecipe(const std::vector<ColumnSite>& sites,
                                      const ModelConfig& model) {
  std::vector<std::string> recipe;
  for (const auto& [site, index, values] : sites) {
    const std::int64_t head =
        site.tower == Tower::kImage ? model.vision.head_width : model.text.width / model.text.heads;
    const std::int64_t width = site.place == "o" ? head : 1;
    std::vector<std::int64_t> units;
    for (std::int64_t i = 0; i < index.size(0); i += width) {
      units.push_back(index[i].item<std::int64_t>() / width);
    }
    const std::string pick = fmt::format(" pick={}", fmt::join(units, ","));
    recipe.push_back(fmt::format("s2ft {}{}", site.id(), pick.size() > kMostPickBytes ? "" : pick));
  }
  return recipe;
}

Adapter ColumnsAsLora(const Adapter& adapter, const NamedTensors& base) {
  const std::map<std::string, at::Tensor> weights(base.begin(), base.end());
  std::vector<LoraSite> pairs;
  for (const auto& [site, index, values] : ColumnSites(adapter)) {
    const std::int64_t k = index.size(0);
    const at::Tensor& weight = weights.at(WeightName(site));
    const auto type = weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor a = at::zeros({k, weight.size(1)}, at::TensorOptions(type));
    a.scatter_(1, index.view({k, 1}), 1);
    const at::Tensor b = values.to(type) - weight.index_select(1, index).to(type);
    pairs.push_back({site, {k, static_cast<double>(k), false}, a, b});
  }
  if (pairs.empty()) throw std::runtime_error("the adapter has no s2ft tuner");
  Adapter lora = LoraAdapter(adapter, pairs);
  for (const auto& named : ModelTensors(adapter)) lora.tensors.push_back(named);
  return lora;
}

}  // namespace fastclip
