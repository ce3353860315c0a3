#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace fastclip {

struct LinearClassifier {
  at::Tensor weights;  ///< [classes, d] double
  at::Tensor bias;     ///< [classes] double
};

struct LinearFit {
  LinearClassifier classifier;
  double loss = 0;               ///< including the penalty
  double gradient = 0;           ///< largest component at the end; small if converged
  std::int64_t evaluations = 0;  ///< of loss and gradient over all images
};

/// Multinomial logistic regression: the classifier that minimizes
///   mean over images of [ logsumexp_k s_k − s_label ] + l2/2 · Σ weights²,   s = weights·x +
///   bias,
/// with full-batch L-BFGS in double precision, on the features' device, from `start` or from zero.
/// Results are bit-identical for the same input and number of threads. Features [n, d] can be
/// float: they are converted some thousand rows at a time, so memory is theirs plus 160 bytes per
/// weight. `labels` [n] are below `classes`. Throws std::invalid_argument for l2 < 0, sizes that do
/// not match, or a label that is not a class.
LinearFit FitLinear(const at::Tensor& features, std::span<const std::int64_t> labels,
                    std::int64_t classes, double l2, const LinearClassifier* start = nullptr,
                    int max_iterations = 1000);

/// Maximum number of fits of ChooseL2.
inline constexpr int kMostFits = 9;

struct L2Search {
  double l2 = 0;
  double held_out_top_1 = 0;
};

/// Chooses l2 by the top-1 on a held-out fifth of the images (chosen by a hash of their
/// SampleIndex, `indices` [n]), fitted on the others. Tries 1e-2, 1e-3, …, no lower than 1e-8,
/// stopping after two in a row that do not improve, then a factor of √10 on either side of the
/// best; ties go to the largest. These fits end after 200 iterations. `progress`, if given, gets
/// the number of fits done. Throws std::runtime_error if a part would be empty.
L2Search ChooseL2(const at::Tensor& features, std::span<const std::int64_t> labels,
                  std::span<const std::int64_t> indices, std::int64_t classes,
                  const std::function<void(int done)>& progress = {});

}  // namespace fastclip
