#include "trainer/eval/linear_probe.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "pipeline/base/counter_random.h"
#include "trainer/eval/class_hits.h"

namespace fastclip {
namespace {

constexpr std::int64_t kRows = 4096;      // widened to double at once
constexpr int kHistory = 10;              // scikit-learn's, too
constexpr double kGradientEnough = 1e-6;  // largest component; the loss is a mean
constexpr double kChangeEnough = 1e-12;   // of the loss or of a weight
constexpr int kSearchIterations = 200;
constexpr std::uint64_t kSplitSeed = 0x11e4;
constexpr std::uint64_t kHeldOutEvery = 5;

/// Loss and gradient as functions of one tensor [classes, d + 1]: weights, and the bias behind
/// them.
class Objective {
 public:
  Objective(const at::Tensor& features, const at::Tensor& labels, double l2)
      : features_(features), labels_(labels), l2_(l2) {}

  /// Writes the gradient into `gradient` and returns the loss.
  double Evaluate(const at::Tensor& parameters, at::Tensor& gradient) const {
    const std::int64_t n = features_.size(0), d = features_.size(1);
    const at::Tensor weights = parameters.slice(1, 0, d), bias = parameters.select(1, d);
    gradient.zero_();
    at::Tensor weight_gradient = gradient.slice(1, 0, d), bias_gradient = gradient.select(1, d);
    double loss = 0.5 * l2_ * weights.square().sum().item<double>();
    for (std::int64_t first = 0; first < n; first += kRows) {
      const std::int64_t last = std::min(first + kRows, n);
      const at::Tensor x = features_.slice(0, first, last).to(at::kDouble);    // [b, d]
      const at::Tensor label = labels_.slice(0, first, last).unsqueeze(1);     // [b, 1]
      at::Tensor log_p = at::log_softmax(at::addmm(bias, x, weights.t()), 1);  // [b, classes]
      loss -= log_p.gather(1, label).sum().item<double>() / static_cast<double>(n);
      // dloss/dscores = (softmax − one-hot) / n
      at::Tensor g = log_p.exp_();
      g.scatter_add_(1, label, at::full(label.sizes(), -1.0, g.options()));
      g /= static_cast<double>(n);
      weight_gradient.addmm_(g.t(), x);
      bias_gradient += g.sum(0);
    }
    weight_gradient.add_(weights, l2_);
    return loss;
  }

 private:
  const at::Tensor features_, labels_;
  const double l2_;
};

at::Tensor LabelTensor(std::span<const std::int64_t> labels, std::int64_t classes,
                       at::Device device) {
  for (const std::int64_t label : labels) {
    if (label < 0 || label >= classes) {
      throw std::invalid_argument(fmt::format("label {} is not one of {} classes", label, classes));
    }
  }
  return at::tensor(at::ArrayRef<std::int64_t>(labels.data(), labels.size()), at::kLong).to(device);
}

/// Some rows of a set.
struct Part {
  at::Tensor features;
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> indices;
};

Part Select(const at::Tensor& features, std::span<const std::int64_t> labels,
            std::span<const std::int64_t> indices, bool held_out) {
  Part part;
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool is_held_out =
        Mix(static_cast<std::uint64_t>(indices[i]), kSplitSeed) % kHeldOutEvery == 0;
    if (is_held_out != held_out) continue;
    rows.push_back(static_cast<std::int64_t>(i));
    part.labels.push_back(labels[i]);
    part.indices.push_back(indices[i]);
  }
  if (rows.empty()) {
    throw std::runtime_error(fmt::format(
        "too few images ({}) to hold some out and choose l2; set --l2, for example 1e-4",
        labels.size()));
  }
  part.features = features.index_select(0, at::tensor(rows, at::kLong).to(features.device()));
  return part;
}

}  // namespace

LinearFit FitLinear(const at::Tensor& features, std::span<const std::int64_t> labels,
                    std::int64_t classes, double l2, const LinearClassifier* start,
                    int max_iterations) {
  const at::NoGradGuard no_grad;
  const std::int64_t n = features.size(0), d = features.size(1);
  if (l2 < 0 || n < 1 || n != static_cast<std::int64_t>(labels.size())) {
    throw std::invalid_argument(fmt::format("{} features, {} labels, l2 {}", n, labels.size(), l2));
  }
  const Objective objective(features, LabelTensor(labels, classes, features.device()), l2);
  at::Tensor parameters = at::zeros({classes, d + 1}, features.options().dtype(at::kDouble));
  if (start != nullptr) {
    parameters.slice(1, 0, d).copy_(start->weights);
    parameters.select(1, d).copy_(start->bias);
  }
  parameters.mutable_grad() = at::zeros_like(parameters);

  LinearFit fit;
  torch::optim::LBFGS optimizer(std::vector<at::Tensor>{parameters},
                                torch::optim::LBFGSOptions(1)
                                    .max_iter(max_iterations)
                                    .history_size(kHistory)
                                    .tolerance_grad(kGradientEnough)
                                    .tolerance_change(kChangeEnough)
                                    .line_search_fn("strong_wolfe"));
  optimizer.step([&] {
    const at::NoGradGuard closed_form;  // step() turns gradients on for its closure
    ++fit.evaluations;
    return at::full({}, objective.Evaluate(parameters, parameters.mutable_grad()), at::kDouble);
  });
  // The last evaluation may be of a trial point of the line search.
  fit.loss = objective.Evaluate(parameters, parameters.mutable_grad());
  fit.gradient = parameters.grad().abs().max().item<double>();
  fit.classifier = {parameters.slice(1, 0, d).clone(), parameters.select(1, d).clone()};
  return fit;
}

L2Search ChooseL2(const at::Tensor& features, std::span<const std::int64_t> labels,
                  std::span<const std::int64_t> indices, std::int64_t classes,
                  const std::function<void(int done)>& progress) {
  static constexpr int kTens = kMostFits - 2;
  const Part train = Select(features, labels, indices, false);
  const Part held_out = Select(features, labels, indices, true);
  int fits = 0;
  L2Search best{0, -1};
  LinearClassifier best_classifier;
  // A fit starts where the one before it ended, or the best one: they lie close.
  const auto attempt = [&](double exponent, const LinearClassifier* start) {
    const double l2 = std::pow(10.0, exponent);
    LinearClassifier classifier =
        FitLinear(train.features, train.labels, classes, l2, start, kSearchIterations).classifier;
    ClassHits hits(classes);
    hits.Add(held_out.features, classifier.weights, classifier.bias, held_out.labels,
             held_out.indices);
    const double top_1 = hits.Metrics().top_1;
    if (top_1 > best.held_out_top_1 || (top_1 == best.held_out_top_1 && l2 > best.l2)) {
      best = {l2, top_1};
      best_classifier = classifier;
    }
    if (progress) progress(++fits);
    return classifier;
  };
  LinearClassifier last;
  double best_l2 = 0;
  for (int ten = 0, worse = 0; ten < kTens && worse < 2; ++ten) {
    last = attempt(-2 - ten, ten > 0 ? &last : nullptr);
    worse = best.l2 == best_l2 ? worse + 1 : 0;
    best_l2 = best.l2;
  }
  const double around = std::log10(best.l2);
  const LinearClassifier middle = best_classifier;
  for (const double step : {0.5, -0.5}) attempt(around + step, &middle);
  return best;
}

}  // namespace fastclip
