#include "trainer/eval/retrieval.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace fastclip {
namespace {

struct Set {
  at::Tensor images, texts;
  std::vector<std::int64_t> rows;
};

// Features of small whole numbers: scores are exact, and many tie.
Set TiedSet(int n, int m, int d, unsigned seed) {
  std::mt19937 random(seed);
  const auto numbers = [&](int count) {
    std::vector<float> values;
    for (int i = 0; i < count * d; ++i) values.push_back(static_cast<float>(random() % 4) - 1);
    return at::tensor(values).view({count, d});
  };
  Set set{numbers(n), numbers(m), {}};
  for (int j = 0; j < m; ++j) set.rows.push_back(random() % static_cast<unsigned>(n));
  return set;
}

Set OneCaptionEach(int n, int d, int seed) {
  at::manual_seed(static_cast<std::uint64_t>(seed));
  const auto unit = [&](const at::Tensor& x) { return x / x.norm(2, 1, true); };
  const at::Tensor images = unit(at::randn({n, d}));
  Set set{images, unit(images + 0.4 * at::randn({n, d})), {}};
  for (int j = 0; j < n; ++j) set.rows.push_back(j);
  return set;
}

struct Query {
  double hit_1 = 0, hit_5 = 0, hit_10 = 0, rank = 0;
};

// All ways in which the own ones may stand among those of the best own score, one after the other.
Query BruteForce(const std::vector<double>& scores, const std::vector<bool>& own) {
  double best = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < scores.size(); ++c) {
    if (own[c]) best = std::max(best, scores[c]);
  }
  int above = 0, tied = 0, tied_own = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    above += scores[c] > best;
    tied += scores[c] == best;
    tied_own += scores[c] == best && own[c];
  }
  Query sum;
  int ways = 0;
  for (std::uint32_t way = 0; way < (1u << tied); ++way) {
    if (std::popcount(way) != tied_own) continue;
    const int place = above + std::countr_zero(way);
    ++ways;
    sum.hit_1 += place < 1;
    sum.hit_5 += place < 5;
    sum.hit_10 += place < 10;
    sum.rank += place;
  }
  return {sum.hit_1 / ways, sum.hit_5 / ways, sum.hit_10 / ways, sum.rank / ways};
}

RetrievalDirection Mean(const std::vector<Query>& queries) {
  RetrievalDirection mean;
  std::vector<double> ranks;
  for (const Query& query : queries) {
    const auto count = static_cast<double>(queries.size());
    mean.recall_1 += query.hit_1 / count;
    mean.recall_5 += query.hit_5 / count;
    mean.recall_10 += query.hit_10 / count;
    mean.mean_rank += (query.rank + 1) / count;
    ranks.push_back(query.rank);
  }
  std::ranges::sort(ranks);
  mean.median_rank = std::floor((ranks[(ranks.size() - 1) / 2] + ranks[ranks.size() / 2]) / 2) + 1;
  return mean;
}

// Each row of scores [queries, items] that has an item of its own.
template <class IsOwn>
std::vector<Query> Queries(const at::Tensor& scores, const IsOwn& is_own) {
  std::vector<Query> queries;
  for (std::int64_t query = 0; query < scores.size(0); ++query) {
    std::vector<double> row;
    std::vector<bool> own;
    for (std::int64_t item = 0; item < scores.size(1); ++item) {
      row.push_back(scores[query][item].item<double>());
      own.push_back(is_own(query, item));
    }
    if (std::ranges::find(own, true) != own.end()) queries.push_back(BruteForce(row, own));
  }
  return queries;
}

RetrievalMetrics BruteForce(const Set& set) {
  const at::Tensor s = set.images.to(at::kDouble).mm(set.texts.to(at::kDouble).t());
  const auto belongs = [&](std::int64_t image, std::int64_t text) {
    return set.rows[static_cast<std::size_t>(text)] == image;
  };
  const auto by_image = Queries(s, belongs);
  const auto by_text =
      Queries(s.t(), [&](std::int64_t text, std::int64_t image) { return belongs(image, text); });
  return {Mean(by_image), Mean(by_text), s.size(0), s.size(1)};
}

void ExpectEqual(const RetrievalMetrics& a, const RetrievalMetrics& b) {
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.captions, b.captions);
  const auto named_a = NamedRetrieval(a), named_b = NamedRetrieval(b);
  for (std::size_t i = 0; i < named_a.size(); ++i) {
    EXPECT_NEAR(named_a[i].second, named_b[i].second, 1e-12) << named_a[i].first;
  }
}

TEST(Retrieval, CountsTiesAtTheirExpectedRank) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const Set set = TiedSet(12, 18, 3, seed);  // some pictures have several captions, some none
    ExpectEqual(ComputeRetrieval(set.images, set.texts, set.rows), BruteForce(set));
  }
}

TEST(Retrieval, EqualsBruteForceWithoutTies) {
  const Set set = OneCaptionEach(60, 16, 1);
  const RetrievalMetrics metrics = ComputeRetrieval(set.images, set.texts, set.rows);
  ExpectEqual(metrics, BruteForce(set));
  EXPECT_GT(metrics.image_to_text.recall_1, 0.3);
  EXPECT_LT(metrics.image_to_text.recall_1, 1);
}

TEST(Retrieval, DoesNotDependOnTheTile) {
  const Set tied = TiedSet(50, 90, 4, 7), clear = OneCaptionEach(100, 24, 2);
  for (const Set* set : {&tied, &clear}) {
    const RetrievalMetrics whole = ComputeRetrieval(set->images, set->texts, set->rows);
    for (const int tile : {1, 7, 32, 90}) {
      ExpectEqual(ComputeRetrieval(set->images, set->texts, set->rows, tile), whole);
    }
  }
}

// Figures of open_clip_train.train.get_clip_metrics (OpenCLIP 3.3) for the same features.
TEST(Retrieval, EqualsOpenClip) {
  const int n = 200, d = 12;
  const at::Tensor i = at::arange(1, n + 1, at::kDouble).unsqueeze(1),
                   k = at::arange(d, at::kDouble);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, 1, true); };
  const at::Tensor images = (1.7 * i * i * (k + 1) + i).sin();
  const at::Tensor texts = images + 1.1 * (2.3 * i * i * (k + 2) - k).cos();
  std::vector<std::int64_t> rows(n);
  std::iota(rows.begin(), rows.end(), 0);
  const auto named = NamedRetrieval(ComputeRetrieval(unit(images), unit(texts), rows));
  const std::vector<double> expected = {.125, .54, .845, 9.88,  5,   // image to text
                                        .175, .62, .84,  9.315, 4};  // text to image
  for (std::size_t m = 0; m < named.size(); ++m) {
    EXPECT_NEAR(named[m].second, expected[m], 1e-9) << named[m].first;
  }
}

// Features that are equal must tie although their scores are rounded sums.
TEST(Retrieval, OfACollapsedModelIsChance) {
  const int n = 101;
  at::manual_seed(3);
  const at::Tensor one = at::randn({1, 37}) / 6;
  const at::Tensor all = one.expand({n, 37}).contiguous();
  std::vector<std::int64_t> rows(n);
  for (int i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = i;
  for (const int tile : {16, 2048}) {
    const RetrievalMetrics metrics = ComputeRetrieval(all, all, rows, tile);
    for (const auto& direction : {metrics.image_to_text, metrics.text_to_image}) {
      EXPECT_NEAR(direction.recall_1, 1.0 / n, 1e-12);
      EXPECT_NEAR(direction.recall_10, 10.0 / n, 1e-12);
      EXPECT_NEAR(direction.mean_rank, (n + 1) / 2.0, 1e-12);
      EXPECT_EQ(direction.median_rank, (n + 1) / 2);
    }
  }
}

TEST(Retrieval, TakesTheBestOfAPicturesCaptions) {
  const at::Tensor images = at::eye(2);
  const at::Tensor texts = at::tensor({0.1f, 0.f, 0.9f, 0.f, 0.8f, 0.7f}).view({3, 2});
  const std::vector<std::int64_t> rows = {0, 0, 1};
  const RetrievalMetrics metrics = ComputeRetrieval(images, texts, rows);
  EXPECT_EQ(metrics.image_to_text.recall_1, 1);  // .9 before .8; alone on the other side
  EXPECT_EQ(metrics.image_to_text.mean_rank, 1);
  EXPECT_NEAR(metrics.text_to_image.recall_1, 2.0 / 3, 1e-12);  // .8 before .7
  EXPECT_EQ(metrics.text_to_image.recall_5, 1);
  EXPECT_NEAR(metrics.text_to_image.mean_rank, 4.0 / 3, 1e-12);
}

TEST(Retrieval, RefusesFeaturesThatAreNotFinite) {
  Set set = OneCaptionEach(5, 4, 1);
  set.texts[2][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(ComputeRetrieval(set.images, set.texts, set.rows), std::runtime_error);
  EXPECT_THROW(ComputeRetrieval(at::empty({0, 4}), at::empty({0, 4}), {}), std::runtime_error);
}

TEST(Retrieval, IsNamedAsOpenClipDoes) {
  std::vector<std::string> names;
  for (const auto& [name, value] : NamedRetrieval({})) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "image_to_text_R@1", "image_to_text_R@5", "image_to_text_R@10",
                       "image_to_text_mean_rank", "image_to_text_median_rank", "text_to_image_R@1",
                       "text_to_image_R@5", "text_to_image_R@10", "text_to_image_mean_rank",
                       "text_to_image_median_rank"}));
}

}  // namespace
}  // namespace fastclip
