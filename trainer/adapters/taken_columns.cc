#include "trainer/adapters/taken_columns.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/model/openclip_config.h"

namespace fastclip {
std::map<std::string, at::Tensor> TakenColumns(const std::vector<std::string>& paths,
                                               const ModelConfig& model,
                                               const std::string& base_hash) {
  std::map<std::string, at::Tensor> taken;
  for (const std::string& path : paths) {
    const Adapter adapter =
        ReadAdapter(std::filesystem::path(FindAdapter(path).file).parent_path());
    if (const auto other = DifferenceFrom(adapter.model_config, model)) {
      throw std::runtime_error(fmt::format(
          "{}: the adapter belongs to model {} with {} = {}, but model {} has {}", Printable(path),
          Printable(adapter.model), other->key, other->theirs, model.name, other->ours));
    }
    if (!base_hash.empty()) CheckBase(adapter, base_hash, path, "the weights of the model");
    const std::vector<ColumnSite> sites = ColumnSites(adapter);
    if (sites.empty()) {
      throw std::runtime_error(fmt::format(
          "{}: has no columns of S²FT, so there is nothing to leave out; remove it from the list",
          Printable(path)));
    }
    for (const ColumnSite& at : sites) {
      at::Tensor& all = taken[at.site.id()];
      all = all.defined() ? std::get<0>(at::_unique(at::cat({all, at.index}), /*sorted=*/true))
                          : at.index;
    }
  }
  return taken;
}

}  // namespace fastclip
