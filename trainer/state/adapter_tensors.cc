#include "trainer/state/adapter_tensors.h"

#include "trainer/adapt/s2ft.h"

namespace fastclip {

NamedTensors AdapterTensors(const ClipModel& model) {
  NamedTensors all;
  for (const auto& [name, tensor] : model.parameters()) {
    if (tensor.requires_grad() || name == "logit_scale" || name == "logit_bias") {
      all.emplace_back(name, tensor);
    }
  }
  all.insert(all.end(), model.added().begin(), model.added().end());
  for (const SelectedColumns& of : SelectedColumnsOf(model)) {
    all.emplace_back(of.site + ".index", of.index);
  }
  return all;
}

NamedTensors SavedTensors(const ClipModel& model) {
  if (model.adapted()) return AdapterTensors(model);
  NamedTensors all = model.parameters();
  all.insert(all.end(), model.buffers().begin(), model.buffers().end());
  return all;
}

}  // namespace fastclip
