#include "trainer/state/adapter_tensors.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/adapt/s2ft.h"

namespace fastclip {
namespace {

std::string IndexName(const SelectedColumns& of) { return of.site + ".index"; }

}  // namespace

NamedTensors AdapterTensors(const ClipModel& model) {
  NamedTensors all;
  for (const auto& [name, tensor] : model.parameters()) {
    if (tensor.requires_grad() || name == "logit_scale" || name == "logit_bias") {
      all.emplace_back(name, tensor);
    }
  }
  all.insert(all.end(), model.added().begin(), model.added().end());
  for (const SelectedColumns& of : SelectedColumnsOf(model)) {
    all.emplace_back(IndexName(of), of.index);
  }
  return all;
}

NamedTensors SavedTensors(const ClipModel& model) {
  if (model.adapted()) return AdapterTensors(model);
  NamedTensors all = model.parameters();
  all.insert(all.end(), model.buffers().begin(), model.buffers().end());
  return all;
}

void LoadAdapterTensors(const ClipModel& model, const NamedTensors& tensors,
                        const std::string& where) {
  const NamedTensors ours = AdapterTensors(model);
  std::map<std::string, at::Tensor> theirs(tensors.begin(), tensors.end());
  const auto fail = [&](const std::string& reason) {
    throw std::runtime_error(
        fmt::format("{}: {}; use the adapter with its own recipe", where, reason));
  };
  for (const auto& [name, tensor] : ours) {
    const auto found = theirs.find(name);
    if (found == theirs.end()) fail(fmt::format("has no tensor {}", name));
    if (found->second.sizes() != tensor.sizes()) {
      fail(fmt::format("tensor {} has the shape [{}], not [{}]", name,
                       fmt::join(found->second.sizes(), ", "), fmt::join(tensor.sizes(), ", ")));
    }
  }
  if (theirs.size() > ours.size()) {
    const std::map<std::string, at::Tensor> known(ours.begin(), ours.end());
    for (const auto& [name, tensor] : theirs) {
      if (!known.contains(name)) fail(fmt::format("has an unknown tensor {}", Printable(name)));
    }
  }
  std::map<std::string, at::Tensor> indices;
  for (const SelectedColumns& of : SelectedColumnsOf(model)) {
    indices[of.site] = theirs.at(IndexName(of)).to(of.index.device());
  }
  try {
    MoveColumns(model, indices);
  } catch (const std::invalid_argument& error) {
    fail(error.what());
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : ours) {
    at::Tensor target = tensor;
    target.copy_(theirs.at(name));
  }
}

}  // namespace fastclip
