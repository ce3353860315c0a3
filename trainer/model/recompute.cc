#include "trainer/model/recompute.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/custom_class.h>

#include <stdexcept>
#include <unordered_set>
#include <utility>
#include <vector>

#include "trainer/model/autocast.h"

namespace fastclip {
namespace {

namespace autograd = torch::autograd;

struct Part : torch::CustomClassHolder {
  std::function<at::Tensor(const at::Tensor&)> run;
  at::DeviceType device;
  std::optional<at::ScalarType> autocast;
};

/// Throws where the graph of `y` reaches a leaf that is not in `listed`.
void RefuseOtherLeaves(const at::Tensor& y, const autograd::variable_list& listed) {
  // Kept alive; shared_ptrs in LibTorch 2.11, intrusive_ptrs in 2.15.
  std::vector<decltype(autograd::impl::grad_accumulator(y))> known;
  std::unordered_set<const autograd::Node*> seen;
  for (const at::Tensor& tensor : listed) {
    if (!tensor.requires_grad()) continue;
    known.push_back(tensor.grad_fn() ? tensor.grad_fn() : autograd::impl::grad_accumulator(tensor));
    seen.insert(known.back().get());
  }
  std::vector<const autograd::Node*> open;
  const auto visit = [&](const autograd::Node* node) {
    if (node != nullptr && seen.insert(node).second) open.push_back(node);
  };
  visit(y.grad_fn().get());
  while (!open.empty()) {
    const autograd::Node* node = open.back();
    open.pop_back();
    if (const auto* leaf = dynamic_cast<const autograd::AccumulateGrad*>(node)) {
      throw std::logic_error(fmt::format(
          "activation checkpointing: a block reads a parameter of shape [{}] that is not in its "
          "list and would get no gradient",
          fmt::join(leaf->variable.sizes(), ", ")));
    }
    for (const autograd::Edge& edge : node->next_edges()) visit(edge.function.get());
  }
}

class RecomputedFunction : public autograd::Function<RecomputedFunction> {
 public:
  // `inputs`: x, then the parameters.
  static at::Tensor forward(autograd::AutogradContext* context, c10::intrusive_ptr<Part> part,
                            at::TensorList inputs) {
    context->save_for_backward(inputs.vec());
    at::Tensor y = part->run(inputs[0]);
    context->saved_data["part"] = c10::IValue::make_capsule(std::move(part));
    return y;
  }

  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          autograd::variable_list gradients) {
    const autograd::variable_list inputs = context->get_saved_variables();
    const auto part =
        c10::static_intrusive_pointer_cast<Part>(context->saved_data["part"].toCapsule());
    at::Tensor y;
    autograd::variable_list leaves = inputs;
    leaves[0] = inputs[0].detach().set_requires_grad(inputs[0].requires_grad());
    {
      const at::AutoGradMode with_graph(true);
      const AutocastGuard autocast(part->device, part->autocast);
      y = part->run(leaves[0]);
    }
    RefuseOtherLeaves(y, leaves);
    autograd::variable_list wanted;
    for (const at::Tensor& leaf : leaves) {
      if (leaf.requires_grad()) wanted.push_back(leaf);
    }
    const autograd::variable_list found =
        autograd::grad({y}, wanted, gradients, /*retain_graph=*/false, /*create_graph=*/false,
                       /*allow_unused=*/true);
    autograd::variable_list result(1 + inputs.size());  // the first is `part`, which has none
    for (std::size_t i = 0, next = 0; i < leaves.size(); ++i) {
      if (leaves[i].requires_grad()) result[1 + i] = found[next++];
    }
    return result;
  }
};

}  // namespace

at::Tensor Recomputed(std::function<at::Tensor(const at::Tensor&)> run, const at::Tensor& x,
                      const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return run(x);
  auto part = c10::make_intrusive<Part>();
  part->run = std::move(run);
  part->device = x.device().type();
  part->autocast = AutocastDtype(part->device);
  std::vector<at::Tensor> inputs = {x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  return RecomputedFunction::apply(std::move(part), at::TensorList(inputs));
}

}  // namespace fastclip
