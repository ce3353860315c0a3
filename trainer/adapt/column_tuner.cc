#include "trainer/adapt/column_tuner.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <utility>

namespace fastclip {
namespace {

namespace autograd = torch::autograd;

/// x·Wᵀ + b, whose columns `index` of W are the leaf P. W itself has no gradient.
class SelectedLinear : public autograd::Function<SelectedLinear> {
 public:
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& columns, const at::Tensor& index) {
    at::Tensor y = at::linear(x, weight, bias);  // in autocast's type, if it is on
    // A copy: a view would keep all of x. P is kept so that a change of it before the backward pass
    // is an error. W, not its cast: that would be held until then.
    context->save_for_backward(
        {x.index_select(-1, index).to(y.scalar_type()), weight, bias, columns});
    return y;
  }

  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &xs = saved[0], &weight = saved[1], &bias = saved[2], &columns = saved[3];
    const at::Tensor& gy = gradients[0];
    const at::Tensor rows = gy.reshape({-1, gy.size(-1)});
    autograd::variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = gy.matmul(weight.to(gy.scalar_type()));
    if (context->needs_input_grad(2)) result[2] = rows.sum(0).to(bias.scalar_type());
    if (context->needs_input_grad(3)) {
      // Gᵀ x[:, S]: one product over all rows.
      result[3] = rows.t().mm(xs.reshape({-1, xs.size(-1)})).to(columns.scalar_type());
    }
    return result;
  }
};

}  // namespace

ColumnTuner::ColumnTuner(at::Tensor columns, at::Tensor index, bool chosen)
    : columns_(std::move(columns)),
      index_(std::move(index)),
      start_(columns_.detach().clone()),
      chosen_(chosen) {}

at::Tensor ColumnTuner::Map(const Linear& of, const at::Tensor& x) const {
  if (!chosen_) throw std::logic_error(of.name + ": the columns that train are not chosen yet");
  WriteTo(of);
  if (!at::GradMode::is_enabled()) return of.Plain(x);
  return SelectedLinear::apply(x, of.weight, of.bias, columns_, index_);
}

void ColumnTuner::WriteTo(const Linear& of) const {
  const at::NoGradGuard no_grad;
  // Graphs that hold the weight stay valid, since it gets what it had, or P has changed, which they
  // notice. So this does not count as a change of it.
  of.weight.variable_data().index_copy_(1, index_, columns_);
}

void ColumnTuner::TakeFrom(const Linear& of) const {
  const at::NoGradGuard no_grad;
  start_.copy_(of.weight.index_select(1, index_));
  columns_.copy_(start_);
}

void ColumnTuner::MoveTo(const Linear& of, const at::Tensor& index) const {
  const at::NoGradGuard no_grad;
  columns_.copy_(start_);
  WriteTo(of);
  index_.copy_(index);
  TakeFrom(of);
  chosen_ = true;
}

}  // namespace fastclip
