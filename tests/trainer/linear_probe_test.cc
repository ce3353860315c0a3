#include "trainer/eval/linear_probe.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

struct Data {
  at::Tensor features;
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> indices;
};

/// Classes as clouds around points of the unit sphere.
Data Clouds(int n, int d, int classes, double spread) {
  CounterRandom random(5);
  const auto number = [&] { return 2 * random.Uniform() - 1; };
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, 1, true); };
  std::vector<double> middles, around;
  for (int i = 0; i < classes * d; ++i) middles.push_back(number());
  for (int i = 0; i < n * d; ++i) around.push_back(spread * number());
  Data data;
  std::vector<std::int64_t> rows;
  for (int i = 0; i < n; ++i) {
    rows.push_back(static_cast<std::int64_t>(random.Below(static_cast<std::uint64_t>(classes))));
    data.labels.push_back(static_cast<std::int64_t>(rows.back()));
    data.indices.push_back(i);
  }
  const at::Tensor middle = unit(at::tensor(middles, at::kDouble).view({classes, d}));
  data.features = unit(middle.index_select(0, at::tensor(rows, at::kLong)) +
                       at::tensor(around, at::kDouble).view({n, d}));
  return data;
}

/// Loss by its formula, with plain numbers.
double Loss(const Data& data, const LinearClassifier& classifier, double l2) {
  const auto x = data.features.accessor<double, 2>();
  const auto w = classifier.weights.accessor<double, 2>();
  const auto b = classifier.bias.accessor<double, 1>();
  double loss = 0, squares = 0;
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    double sum = 0, own = 0;
    for (std::int64_t c = 0; c < w.size(0); ++c) {
      double score = b[c];
      for (std::int64_t k = 0; k < w.size(1); ++k) score += w[c][k] * x[i][k];
      sum += std::exp(score);
      if (c == data.labels[static_cast<std::size_t>(i)]) own = score;
    }
    loss += (std::log(sum) - own) / static_cast<double>(x.size(0));
  }
  for (std::int64_t c = 0; c < w.size(0); ++c) {
    for (std::int64_t k = 0; k < w.size(1); ++k) squares += w[c][k] * w[c][k];
  }
  return loss + 0.5 * l2 * squares;
}

TEST(FitLinear, EndsWhereNoStepLowersTheLoss) {
  const Data data = Clouds(90, 5, 3, 0.8);
  for (const double l2 : {1e-1, 1e-3}) {
    const LinearFit fit = FitLinear(data.features, data.labels, 3, l2);
    EXPECT_LE(fit.gradient, 1e-6);
    EXPECT_NEAR(fit.loss, Loss(data, fit.classifier, l2), 1e-12);
    for (int c = 0; c < 3; ++c) {
      for (int k = 0; k <= 5; ++k) {  // the loss is convex: each coordinate's slope must vanish
        const auto loss_at = [&](double step) {
          LinearClassifier moved{fit.classifier.weights.clone(), fit.classifier.bias.clone()};
          (k < 5 ? moved.weights[c][k] : moved.bias[c]).add_(step);
          return Loss(data, moved, l2);
        };
        EXPECT_NEAR((loss_at(1e-4) - loss_at(-1e-4)) / 2e-4, 0, 2e-6) << c << " " << k;
      }
    }
  }
}

TEST(FitLinear, TellsApartWhatALineTellsApart) {
  const Data data = Clouds(400, 8, 4, 0.1);
  const LinearFit fit = FitLinear(data.features.to(at::kFloat), data.labels, 4, 1e-6);
  const at::Tensor scores =
      at::addmm(fit.classifier.bias, data.features, fit.classifier.weights.t());
  const std::vector<std::int64_t> labels(data.labels.begin(), data.labels.end());
  EXPECT_TRUE(scores.argmax(1).equal(at::tensor(labels, at::kLong)));
}

TEST(FitLinear, IsTheSameToTheBitAndFromAnyStart) {
  const Data data = Clouds(5000, 6, 3, 0.9);  // two pieces of rows
  const LinearFit one = FitLinear(data.features, data.labels, 3, 1e-3);
  const LinearFit other = FitLinear(data.features, data.labels, 3, 1e-3);
  EXPECT_TRUE(one.classifier.weights.equal(other.classifier.weights));
  const LinearFit far = FitLinear(data.features, data.labels, 3, 1e-1);
  const LinearFit again = FitLinear(data.features, data.labels, 3, 1e-3, &far.classifier);
  EXPECT_NEAR(again.loss, one.loss, 1e-9);
  EXPECT_NEAR(one.loss, Loss(data, one.classifier, 1e-3), 1e-12);
}

TEST(FitLinear, RefusesWhatDoesNotFit) {
  const Data data = Clouds(10, 3, 2, 0.5);
  EXPECT_THROW(FitLinear(data.features, data.labels, 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(FitLinear(data.features, data.labels, 2, -1), std::invalid_argument);
  EXPECT_THROW(FitLinear(data.features, {}, 2, 1e-3), std::invalid_argument);
}

TEST(ChooseL2, TakesWhatIsBestOnPicturesHeldOut) {
  const Data data = Clouds(300, 20, 5, 0.8);
  int fits = 0;
  const L2Search search = ChooseL2(data.features, data.labels, data.indices, 5,
                                   [&](int done) { EXPECT_EQ(done, ++fits); });
  EXPECT_GE(fits, 4);
  EXPECT_LE(fits, kMostFits);
  EXPECT_GE(search.l2, 1e-9);
  EXPECT_LE(search.l2, 1e-1);
  EXPECT_GT(search.held_out_top_1, 0.5);
  EXPECT_THROW(ChooseL2(data.features.slice(0, 0, 1), std::span(data.labels).first(1),
                        std::span(data.indices).first(1), 5),
               std::runtime_error);
}

}  // namespace
}  // namespace fastclip
