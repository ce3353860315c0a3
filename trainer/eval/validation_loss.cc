#include "trainer/eval/validation_loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace fastclip {
namespace {

/// Rows of an image and of its first caption.
struct Pairs {
  std::vector<std::int64_t> image, text;
};

Pairs PairsOf(const std::vector<std::int64_t>& caption_row, std::int64_t images) {
  std::vector<std::int64_t> first(static_cast<std::size_t>(images), -1);
  for (std::size_t caption = 0; caption < caption_row.size(); ++caption) {
    std::int64_t& found = first[static_cast<std::size_t>(caption_row[caption])];
    if (found < 0) found = static_cast<std::int64_t>(caption);
  }
  Pairs pairs;
  for (std::int64_t image = 0; image < images; ++image) {
    if (first[static_cast<std::size_t>(image)] < 0) continue;
    pairs.image.push_back(image);
    pairs.text.push_back(first[static_cast<std::size_t>(image)]);
  }
  return pairs;
}

/// Σ_i (ln Σ_j exp(x_i·y_j) − x_i·y_i), some rows at a time: a batch's logits may not fit in
/// memory.
double CrossEntropy(const at::Tensor& x, const at::Tensor& y) {
  constexpr std::int64_t kRows = 1024;
  double sum = 0;
  for (std::int64_t first = 0; first < x.size(0); first += kRows) {
    const at::Tensor rows = x.slice(0, first, first + kRows);
    const at::Tensor logits = at::mm(rows, y.t());
    sum += (at::logsumexp(logits, 1) - logits.diagonal(first)).sum().item<double>();
  }
  return sum;
}

}  // namespace

double ValidationLoss(const EncodedSet& set, double logit_scale, std::int64_t batch_size) {
  const c10::NoGradGuard no_grad;
  const at::Tensor &image = set.features.image, &text = set.features.text;
  const Pairs pairs = PairsOf(set.caption_row, image.size(0));
  const auto count = static_cast<std::int64_t>(pairs.image.size());
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto rows = [](const at::Tensor& features, const std::vector<std::int64_t>& of,
                       std::int64_t first, std::int64_t n) {
    const at::Tensor index = at::tensor(
        std::vector<std::int64_t>(of.begin() + first, of.begin() + first + n), at::kLong);
    return features.index_select(0, index.to(features.device()));
  };
  double total = 0;
  for (std::int64_t first = 0; first < count; first += batch_size) {
    const std::int64_t n = std::min(batch_size, count - first);
    const at::Tensor x = rows(image, pairs.image, first, n) * std::exp(logit_scale);
    const at::Tensor y = rows(text, pairs.text, first, n);
    total += 0.5 * (CrossEntropy(x, y) + CrossEntropy(y, x));
  }
  return total / static_cast<double>(count);
}

}  // namespace fastclip
