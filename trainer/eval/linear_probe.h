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
  double loss = 0;               ///< with the penalty
  double gradient = 0;           ///< its largest component at the end; small: converged
  std::int64_t evaluations = 0;  ///< of loss and gradient over all pictures
};

/// Multinomial logistic regression: the classifier that minimises
///   mean over pictures of [ logsumexp_k s_k − s_label ] + l2/2 · Σ weights²,   s = weights·x +
///   bias,
/// by L-BFGS over all pictures at once, in double precision, from `start` or from zero. The same
/// input and number of threads give the same bits. Features [n, d] may be float: they are widened
/// some thousand rows at a time, so that memory is theirs plus 160 bytes a weight. `labels` [n] are
/// below `classes`. Throws std::invalid_argument for l2 < 0, sizes that do not fit, or a label that
/// is no class.
LinearFit FitLinear(const at::Tensor& features, std::span<const std::int64_t> labels,
                    std::int64_t classes, double l2, const LinearClassifier* start = nullptr,
                    int max_iterations = 1000);

/// Fits that ChooseL2 makes at most.
inline constexpr int kMostFits = 9;

struct L2Search {
  double l2 = 0;
  double held_out_top_1 = 0;
};

/// Chooses l2 by the top-1 on a fifth of the pictures, those whose SampleIndex (`indices` [n])
/// hashes to it, fitted on the others: from 1e-2 down by tens until two in a row are no better than
/// the best, to 1e-8 at most, then half a ten either side of the best; of equal ones the largest.
/// These fits end after 200 iterations. `progress` gets the number of fits done, if given.
/// Throws std::runtime_error where a part would be empty.
L2Search ChooseL2(const at::Tensor& features, std::span<const std::int64_t> labels,
                  std::span<const std::int64_t> indices, std::int64_t classes,
                  const std::function<void(int done)>& progress = {});

}  // namespace fastclip
