#include "trainer/adapt/calibrate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "trainer/adapt/recipe.h"
#include "trainer/model/attention.h"

namespace fastclip {
namespace {

namespace autograd = torch::autograd;

/// [columns] float64.
at::Tensor SquaresOf(const at::Tensor& rows) {
  const at::ScalarType wide = rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return rows.to(wide).square().sum({0}, /*keepdim=*/false, at::kDouble);
}

/// x·Wᵀ + b. The gradient of `probe` [out, in] is that of W, which stays frozen: W may have another
/// tuner, whose own parameters are the ones that train.
class MeteredLinear : public autograd::Function<MeteredLinear> {
 public:
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& /*probe*/) {
    at::Tensor y = at::linear(x, weight, bias);
    context->save_for_backward({x.to(y.scalar_type()), weight});
    return y;
  }

  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gy = gradients[0];
    autograd::variable_list result(4);
    if (context->needs_input_grad(0)) result[0] = gy.matmul(weight.to(gy.scalar_type()));
    result[3] =
        gy.reshape({-1, gy.size(-1)}).t().mm(x.reshape({-1, x.size(-1)})).to(weight.scalar_type());
    return result;
  }
};

}  // namespace

class ColumnMeter final : public LinearTuner {
 public:
  ColumnMeter(const Linear& of, bool gradients)
      : activation_(at::zeros({of.weight.size(1)}, of.weight.options().dtype(at::kDouble))) {
    if (!gradients) return;
    gradient_ = at::zeros_like(activation_);
    // One element stands for all: nothing reads the values.
    probe_ = at::zeros({}, of.weight.options()).expand(of.weight.sizes()).requires_grad_();
  }

  std::vector<at::Tensor> parameters() const override {
    return probe_.defined() ? std::vector{probe_} : std::vector<at::Tensor>{};
  }
  bool replaces_map() const override { return true; }

  at::Tensor Map(const Linear& of, const at::Tensor& x) const override {
    const bool graph = at::GradMode::is_enabled();
    if (probe_.defined() && !graph) return of.Plain(x);
    {
      const at::NoGradGuard no_grad;
      activation_.add_(SquaresOf(x.reshape({-1, x.size(-1)})));
    }
    return probe_.defined() ? MeteredLinear::apply(x, of.weight, of.bias, probe_) : of.Plain(x);
  }

  void EndBatch(const std::function<void(at::Tensor&)>& sum_over_ranks) const {
    if (!probe_.defined()) return;
    at::Tensor gradient = probe_.grad();
    // A rank without a pass through this map still takes part in the sum.
    if (!gradient.defined()) {
      if (!sum_over_ranks) return;
      gradient = at::zeros(probe_.sizes(), probe_.options());
    }
    if (sum_over_ranks) sum_over_ranks(gradient);
    gradient_.add_(SquaresOf(gradient));
    probe_.mutable_grad() = at::Tensor();
  }

  ColumnStatistics statistics() const {
    return {.activation = activation_.clone(),
            .gradient = probe_.defined() ? gradient_.clone() : at::Tensor()};
  }

 private:
  at::Tensor activation_, gradient_, probe_;
};

namespace {

template <class Visit>
void ForConsumers(ClipModel& model, const Visit& visit) {
  for (const Tower tower : {Tower::kImage, Tower::kText}) {
    Transformer* const transformer = model.transformer(tower);
    if (!transformer) continue;
    for (std::size_t i = 0; i < transformer->blocks().size(); ++i) {
      for (const char* place : {"o", "fc2"}) {
        visit(Site{tower, static_cast<std::int64_t>(i), place}.id(),
              ConsumerOf(transformer->blocks()[i], GroupAt(place)));
      }
    }
  }
}

}  // namespace

Calibration::Calibration(ClipModel& model, const Options& options) : model_(model) {
  ForConsumers(model, [&](const std::string& site, Linear& map) {
    const auto meter = std::make_shared<ColumnMeter>(map, options.gradients);
    map.tuners.push_back(meter);
    meters_.emplace(site, meter);
  });
  if (!options.gradients) return;
  for (const auto& [name, tensor] : model.trainable()) {
    frozen_.push_back(tensor);
    frozen_.back().set_requires_grad(false);
  }
}

Calibration::~Calibration() {
  ForConsumers(model_, [&](const std::string& site, Linear& map) {
    std::erase(map.tuners, meters_.at(site));
  });
  for (const at::Tensor& tensor : frozen_) tensor.set_requires_grad(true);
}

void Calibration::EndBatch(const std::function<void(at::Tensor&)>& sum_over_ranks) {
  for (const auto& [site, meter] : meters_) meter->EndBatch(sum_over_ranks);
}

std::map<std::string, ColumnStatistics> Calibration::statistics() const {
  std::map<std::string, ColumnStatistics> all;
  for (const auto& [site, meter] : meters_) all.emplace(site, meter->statistics());
  return all;
}

}  // namespace fastclip
