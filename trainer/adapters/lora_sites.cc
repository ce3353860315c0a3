#include "trainer/adapters/lora_sites.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>

#include "trainer/adapt/settings.h"

namespace fastclip {
namespace {

constexpr std::array<std::string_view, 6> kPlaces = {"q", "k", "v", "o", "fc1", "fc2"};

auto OrderOf(const Site& site) {
  return std::tuple(site.tower, site.block, std::ranges::find(kPlaces, site.place));
}

void Sort(std::vector<LoraSite>& sites) {
  std::ranges::sort(sites, {}, [](const LoraSite& at) { return OrderOf(at.site); });
}

/// "0-5,11".
std::string Ranges(const std::vector<std::int64_t>& blocks) {
  std::string text;
  for (std::size_t i = 0, next = 0; i < blocks.size(); i = next) {
    for (next = i + 1; next < blocks.size() && blocks[next] == blocks[next - 1] + 1;) ++next;
    text += text.empty() ? "" : ",";
    text += fmt::format("{}", blocks[i]);
    if (next > i + 1) text += fmt::format("-{}", blocks[next - 1]);
  }
  return text;
}

std::string SettingsOf(const LoraOptions& options) {
  return fmt::format("r={} alpha={}{}{}", options.r, options.alpha,
                     options.rslora ? " rslora=true" : "",
                     options.dropout > 0 ? fmt::format(" dropout={}", options.dropout) : "");
}

}  // namespace

std::vector<LoraSite> LoraSites(const Adapter& adapter) {
  const std::map<std::string, at::Tensor> tensors(adapter.tensors.begin(), adapter.tensors.end());
  std::vector<LoraSite> sites;
  for (const TunerSpec& spec : ReadRecipe(adapter, adapter.model)) {
    if (spec.kind != "lora") continue;
    TunerSettings settings(spec);
    const LoraOptions options = ReadLoraOptions(settings);
    for (const Site& site : spec.sites) {
      sites.push_back(
          {site, options, tensors.at(site.id() + ".lora_A"), tensors.at(site.id() + ".lora_B")});
    }
  }
  Sort(sites);
  return sites;
}

std::vector<std::string> LoraRecipe(const std::vector<LoraSite>& sites) {
  // Places of each block, per tower and settings; then blocks with the same places.
  std::map<std::pair<Tower, std::string>, std::map<std::int64_t, std::vector<std::string>>> blocks;
  for (const LoraSite& at : sites) {
    blocks[{at.site.tower, SettingsOf(at.options)}][at.site.block].push_back(at.site.place);
  }
  std::vector<std::string> recipe;
  for (const auto& [key, places_of] : blocks) {
    std::map<std::vector<std::string>, std::vector<std::int64_t>> alike;
    for (const auto& [block, places] : places_of) alike[places].push_back(block);
    for (const auto& [places, numbers] : alike) {
      recipe.push_back(fmt::format(
          "lora {}.block.{}.{} {}", key.first == Tower::kImage ? "image" : "text", Ranges(numbers),
          places.size() == 1 ? places[0] : fmt::format("{{{}}}", fmt::join(places, ",")),
          key.second));
    }
  }
  return recipe;
}

Adapter LoraAdapter(const Adapter& like, const std::vector<LoraSite>& sites) {
  std::vector<LoraSite> sorted = sites;
  Sort(sorted);
  Adapter adapter{.model = like.model,
                  .model_config = like.model_config,
                  .base = like.base,
                  .tuners = LoraRecipe(sorted),
                  .tensors = {}};
  for (const LoraSite& at : sorted) {
    adapter.tensors.emplace_back(at.site.id() + ".lora_A", at.a);
    adapter.tensors.emplace_back(at.site.id() + ".lora_B", at.b);
  }
  return adapter;
}

}  // namespace fastclip
