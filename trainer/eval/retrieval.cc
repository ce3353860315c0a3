#include "trainer/eval/retrieval.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "trainer/eval/encode_set.h"

namespace fastclip {
namespace {

constexpr float kNowhere = -std::numeric_limits<float>::infinity();

/// For each query: how many candidates that are not its own score above its best own one, how many
/// score the same, and how many of its own do.
struct Counts {
  at::Tensor above, equal, own;  // int64 [queries]
};

/// Chance that one of `own` candidates is among the first `k`, `above` others being before them and
/// `equal` others mixed with them at random: 1 − C(e, x) / C(e + own, x), x the places left.
double ExpectedHit(std::int64_t above, std::int64_t equal, std::int64_t own, std::int64_t k) {
  double miss = 1;
  for (std::int64_t place = 0; place < k - above && miss > 0; ++place) {
    miss *= static_cast<double>(std::max<std::int64_t>(equal - place, 0)) /
            static_cast<double>(std::max<std::int64_t>(equal + own - place, 1));
  }
  return 1 - miss;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

RetrievalDirection Summarise(const Counts& counts) {
  const at::Tensor all = at::stack({counts.above, counts.equal, counts.own}).cpu().contiguous();
  const std::int64_t queries = all.size(1);
  const std::int64_t* above = all.const_data_ptr<std::int64_t>();
  const std::int64_t* equal = above + queries;
  const std::int64_t* own = equal + queries;
  RetrievalDirection sum;
  std::vector<double> ranks;
  for (std::int64_t i = 0; i < queries; ++i) {
    if (own[i] == 0) continue;
    sum.recall_1 += ExpectedHit(above[i], equal[i], own[i], 1);
    sum.recall_5 += ExpectedHit(above[i], equal[i], own[i], 5);
    sum.recall_10 += ExpectedHit(above[i], equal[i], own[i], 10);
    // The first of q own ones among e others stands behind e/(q+1) of them on average.
    ranks.push_back(static_cast<double>(above[i]) +
                    static_cast<double>(equal[i]) / static_cast<double>(own[i] + 1));
    sum.mean_rank += ranks.back();
  }
  const auto count = static_cast<double>(ranks.size());
  return {sum.recall_1 / count, sum.recall_5 / count, sum.recall_10 / count,
          sum.mean_rank / count + 1, std::floor(Median(ranks)) + 1};
}

// Double, then rounded: a matrix product adds in an order that depends on where an element stands,
// and so would tell equal features apart in its last bits.
at::Tensor Rounded(const at::Tensor& scores) { return scores.to(at::kFloat); }

/// The score of each caption with its own picture, [m].
at::Tensor OwnScores(const at::Tensor& images, const at::Tensor& texts, const at::Tensor& rows,
                     std::int64_t tile) {
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < texts.size(0); first += tile) {
    const std::int64_t last = std::min(first + tile, texts.size(0));
    const at::Tensor own = images.index_select(0, rows.slice(0, first, last));
    parts.push_back(
        Rounded((own.to(at::kDouble) * texts.slice(0, first, last).to(at::kDouble)).sum(1)));
  }
  return at::cat(parts);
}

}  // namespace

RetrievalMetrics ComputeRetrieval(const at::Tensor& image_features, const at::Tensor& text_features,
                                  std::span<const std::int64_t> caption_row, std::int64_t tile) {
  const at::NoGradGuard no_grad;
  CheckFeatures(image_features, "images");
  CheckFeatures(text_features, "captions");
  const std::int64_t n = image_features.size(0), m = text_features.size(0);
  const auto counting = at::TensorOptions(at::kLong).device(image_features.device());
  const at::Tensor rows =
      at::tensor(at::ArrayRef<std::int64_t>(caption_row.data(), caption_row.size()), at::kLong)
          .to(image_features.device());

  const at::Tensor own = OwnScores(image_features, text_features, rows, tile);  // [m]
  const at::Tensor best =
      at::full({n}, kNowhere, own.options()).scatter_reduce(0, rows, own, "amax");  // [n]
  const at::Tensor is_best = (own == best.index_select(0, rows)).to(at::kLong);
  const Counts by_image{at::zeros({n}, counting), at::zeros({n}, counting),
                        at::zeros({n}, counting).index_add_(0, rows, is_best)};
  const Counts by_text{at::zeros({m}, counting), at::zeros({m}, counting), at::ones({m}, counting)};

  for (std::int64_t i = 0; i < n; i += tile) {
    const std::int64_t i_last = std::min(i + tile, n);
    const at::Tensor images = image_features.slice(0, i, i_last).to(at::kDouble);
    const at::Tensor image_scores = best.slice(0, i, i_last).unsqueeze(1);
    for (std::int64_t j = 0; j < m; j += tile) {
      const std::int64_t j_last = std::min(j + tile, m);
      const at::Tensor texts = text_features.slice(0, j, j_last).to(at::kDouble);
      const at::Tensor text_scores = own.slice(0, j, j_last).unsqueeze(0);
      at::Tensor scores = Rounded(images.mm(texts.t()));  // [i tile, j tile]
      // A query's own candidates are no rivals of each other.
      const at::Tensor tile_rows = rows.slice(0, j, j_last);
      const at::Tensor own_columns =
          at::logical_and(tile_rows >= i, tile_rows < i_last).nonzero().squeeze(1);
      scores.index_put_({tile_rows.index_select(0, own_columns) - i, own_columns},
                        at::full({}, kNowhere, scores.options()));
      by_image.above.slice(0, i, i_last).add_((scores > image_scores).sum(1));
      by_image.equal.slice(0, i, i_last).add_((scores == image_scores).sum(1));
      by_text.above.slice(0, j, j_last).add_((scores > text_scores).sum(0));
      by_text.equal.slice(0, j, j_last).add_((scores == text_scores).sum(0));
    }
  }
  return {Summarise(by_image), Summarise(by_text), n, m};
}

std::vector<std::pair<std::string, double>> NamedRetrieval(const RetrievalMetrics& metrics) {
  std::vector<std::pair<std::string, double>> named;
  const auto add = [&](const std::string& name, const RetrievalDirection& direction) {
    named.emplace_back(name + "_R@1", direction.recall_1);
    named.emplace_back(name + "_R@5", direction.recall_5);
    named.emplace_back(name + "_R@10", direction.recall_10);
    named.emplace_back(name + "_mean_rank", direction.mean_rank);
    named.emplace_back(name + "_median_rank", direction.median_rank);
  };
  add("image_to_text", metrics.image_to_text);
  add("text_to_image", metrics.text_to_image);
  return named;
}

}  // namespace fastclip
