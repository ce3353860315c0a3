#include "trainer/adapters/attach_adapter.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <map>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapt/attach.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/base_hash.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/model/openclip_config.h"

namespace fastclip {

Adapter AttachAdapter(ClipModel& model, const std::string& folder) {
  Adapter adapter = ReadAdapter(folder);
  if (const auto other = DifferenceFrom(adapter.model_config, model.config())) {
    throw std::runtime_error(fmt::format(
        "{}: the adapter belongs to model {} with {} = {}, but model {} has {}", folder,
        Printable(adapter.model), other->key, other->theirs, model.config().name, other->ours));
  }
  if (!adapter.base.empty()) {
    CheckBase(adapter, BaseHash(model), folder, "the weights of the model");
  }
  AttachAdapter(model, adapter, folder);
  return adapter;
}

void AttachAdapter(ClipModel& model, const Adapter& adapter, const std::string& where) {
  CheckAdapter(adapter, where);
  const std::map<std::string, at::Tensor> values(adapter.tensors.begin(), adapter.tensors.end());
  try {
    AttachTuners(model, {.tuners = adapter.tuners, .logit_scale = values.contains("logit_scale")},
                 /*seed=*/0);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(fmt::format("{}: {}", where, error.what()));
  }
  TakeValues(model, adapter);
}

void TakeValues(ClipModel& model, const Adapter& adapter) {
  const std::map<std::string, at::Tensor> values(adapter.tensors.begin(), adapter.tensors.end());
  std::map<std::string, at::Tensor> indices;
  for (const ColumnSite& at : ColumnSites(adapter)) {
    indices[at.site.id()] = at.index.to(model.logit_scale().device());
  }
  MoveColumns(model, indices);
  const at::NoGradGuard no_grad;
  for (const NamedTensors* list : {&model.parameters(), &model.added()}) {
    for (const auto& [name, tensor] : *list) {
      const auto found = values.find(name);
      if (found == values.end()) continue;
      at::Tensor target = tensor;
      target.copy_(found->second.reshape(target.sizes()));
    }
  }
}

}  // namespace fastclip
