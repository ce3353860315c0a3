#include "trainer/eval/zero_shot.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tests/support/error_of.h"
#include "tests/support/fake_source.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/small_model.h"

namespace fastclip {
namespace {

ModelConfig Small() { return SmallModel(/*context_length=*/40); }

EncodeOptions Double(int batch_size) {
  EncodeOptions options;
  options.batch_size = batch_size;
  options.target.dtype = at::kDouble;
  return options;
}

ClassPrompts Prompts() {
  return {{"cat", "a dog", "cat", "green bird", "x"}, {"a photo of a {}.", "{}", "the {}, small"}};
}

/// Pictures with the label i % 10 and no captions.
FakeSource Labelled(std::int64_t size) {
  FakeSource source(size);
  source.captions_of = [](std::int64_t) { return 0; };
  return source;
}

struct Scored {
  at::Tensor features, weights;
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> indices;
};

// Small whole numbers: many scores tie.
Scored Tied(int n, int classes, unsigned seed) {
  std::mt19937 random(seed);
  const auto numbers = [&](int rows) {
    std::vector<double> values;
    for (int i = 0; i < rows * 3; ++i) values.push_back(static_cast<double>(random() % 4) - 1);
    return at::tensor(values, at::kDouble).view({rows, 3});
  };
  Scored scored{numbers(n), numbers(classes), {}, {}};
  for (int i = 0; i < n; ++i) {
    scored.labels.push_back(static_cast<std::int64_t>(random() % static_cast<unsigned>(classes)));
    scored.indices.push_back(i);
  }
  return scored;
}

/// Each place that the own class may have among those that tie is as likely: count them.
ClassMetrics BruteForce(const Scored& scored) {
  const std::int64_t classes = scored.weights.size(0);
  std::vector<double> hits(static_cast<std::size_t>(classes)), images(hits);
  ClassMetrics metrics;
  for (std::size_t i = 0; i < scored.labels.size(); ++i) {
    std::vector<double> s;
    for (std::int64_t c = 0; c < classes; ++c) {
      double sum = 0;
      for (int k = 0; k < 3; ++k) {
        sum += scored.features[static_cast<std::int64_t>(i)][k].item<double>() *
               scored.weights[c][k].item<double>();
      }
      s.push_back(sum);
    }
    const auto own = static_cast<std::size_t>(scored.labels[i]);
    int above = 0, tied = 0;
    for (const double other : s) {
      above += other > s[own];
      tied += other == s[own];
    }
    double hit_1 = 0, hit_5 = 0;
    for (int place = above; place < above + tied; ++place) {
      hit_1 += (place < 1) / static_cast<double>(tied);
      hit_5 += (place < 5) / static_cast<double>(tied);
    }
    const auto n = static_cast<double>(scored.labels.size());
    metrics.top_1 += hit_1 / n;
    metrics.top_5 += hit_5 / n;
    hits[own] += hit_1;
    images[own] += 1;
    ++metrics.images;
  }
  double seen = 0;
  for (std::size_t c = 0; c < hits.size(); ++c) {
    if (images[c] == 0) continue;
    metrics.mean_per_class_recall += hits[c] / images[c];
    ++seen;
  }
  metrics.mean_per_class_recall /= seen;
  return metrics;
}

void ExpectEqual(const ClassMetrics& a, const ClassMetrics& b) {
  EXPECT_NEAR(a.top_1, b.top_1, 1e-12);
  EXPECT_NEAR(a.top_5, b.top_5, 1e-12);
  EXPECT_NEAR(a.mean_per_class_recall, b.mean_per_class_recall, 1e-12);
  EXPECT_EQ(a.images, b.images);
}

TEST(ClassHits, EqualBruteForceWhereScoresTie) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    const Scored scored = Tied(40, 3 + static_cast<int>(seed), seed);
    ClassHits hits(scored.weights.size(0));
    hits.Add(scored.features, scored.weights, {}, scored.labels, scored.indices);
    ExpectEqual(hits.Metrics(), BruteForce(scored));
  }
}

TEST(ClassHits, OfACollapsedModelAreChance) {
  at::manual_seed(3);
  const at::Tensor one = at::randn({1, 37});
  std::vector<std::int64_t> labels(50);
  std::vector<std::int64_t> indices(50);
  std::iota(labels.begin(), labels.end(), 0);
  ClassHits hits(101);
  hits.Add(one.expand({50, 37}), one.expand({101, 37}).contiguous(), {}, labels, indices);
  EXPECT_NEAR(hits.Metrics().top_1, 1.0 / 101, 1e-12);
  EXPECT_NEAR(hits.Metrics().top_5, 5.0 / 101, 1e-12);
}

TEST(ClassHits, LeaveOutLabelsThatAreNoClassAndNameTheFirst) {
  const at::Tensor weights = at::eye(3, at::kDouble);
  const std::vector<std::int64_t> labels = {0, 3, 1, -1, 7};
  const std::vector<std::int64_t> indices = {10, 11, 12, 13, 14};
  ClassHits hits(3);
  hits.Add(at::eye(3, at::kDouble).index_select(0, at::tensor({0, 0, 2, 0, 0}, at::kLong)), weights,
           {}, labels, indices);
  SkipCounts skips{};
  skips[Skip::kNoLabel] = 4;
  hits.AddSkips(skips);
  EXPECT_EQ(hits.Metrics().images, 2);
  EXPECT_EQ(hits.Metrics().top_1, 0.5);
  EXPECT_EQ(hits.DescribeLeftOut(),
            "4 no_label, 3 label_out_of_range (record 11 has label 3; the classes are 0 to 2)");
  ClassHits none(2);
  none.AddSkips(skips);
  EXPECT_THROW(none.Metrics(), std::runtime_error);
}

TEST(ClassHits, RefuseFeaturesThatAreNotFinite) {
  at::Tensor features = at::ones({2, 2});
  features[1][0] = std::numeric_limits<float>::quiet_NaN();
  ClassHits hits(2);
  EXPECT_THROW(hits.Add(features, at::eye(2), {}, std::vector<std::int64_t>{0, 1},
                        std::vector<std::int64_t>{0, 1}),
               std::runtime_error);
}

TEST(ClassHits, AddUpOverRanks) {
  const Scored scored = Tied(30, 6, 5);
  ClassHits whole(6);
  auto labels = scored.labels;
  labels[17] = 9;
  whole.Add(scored.features, scored.weights, {}, labels, scored.indices);
  RunRanks(3, [&](Communicator& comm) {
    const int first = 10 * comm.rank();
    ClassHits mine(6);
    mine.Add(scored.features.slice(0, first, first + 10), scored.weights, {},
             std::span(labels).subspan(static_cast<std::size_t>(first), 10),
             std::span(scored.indices).subspan(static_cast<std::size_t>(first), 10));
    SkipCounts skips{};
    skips[Skip::kNoImage] = 1;
    mine.AddSkips(skips);
    mine.SumOver(comm);
    ExpectEqual(mine.Metrics(), whole.Metrics());
    EXPECT_EQ(mine.skips()[Skip::kNoImage], 3);
    EXPECT_EQ(mine.out_of_range(), 1);
    EXPECT_EQ(mine.first_out_of_range()->record, 17);
  });
}

// The same sum written out with numbers, one sentence at a time.
TEST(ClassWeights, AreTheNormalisedMeanOfNormalisedFeatures) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const ClassPrompts prompts = Prompts();
  const ByteTokenizer tokenizer;
  const at::Tensor weights = ClassWeights(model, tokenizer, prompts, Double(4));
  ASSERT_EQ(weights.sizes(), (std::vector<std::int64_t>{5, 12}));
  for (std::size_t c = 0; c < prompts.classes.size(); ++c) {
    std::vector<double> mean(12);
    for (std::size_t t = 0; t < prompts.templates.size(); ++t) {
      std::vector<TokenId> tokens(40);
      const std::vector<std::int64_t> pool = {
          EncodeContext(tokenizer, prompts.Sentence(c, t), tokens)};
      const CaptionTensors caption =
          CaptionsOf(tokens, pool, 40, {.dtype = at::kDouble, .trim_text = false});
      const at::Tensor feature = model.EncodeText(caption.tokens, caption.pool)[0];
      double square = 0;
      for (int k = 0; k < 12; ++k) square += std::pow(feature[k].item<double>(), 2);
      for (int k = 0; k < 12; ++k) {
        mean[static_cast<std::size_t>(k)] += feature[k].item<double>() / std::sqrt(square) / 3;
      }
    }
    const double norm = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0));
    for (int k = 0; k < 12; ++k) {
      EXPECT_NEAR(weights[static_cast<std::int64_t>(c)][k].item<double>(),
                  mean[static_cast<std::size_t>(k)] / norm, 1e-12);
    }
  }
  EXPECT_FALSE(weights.requires_grad());
}

TEST(ClassWeights, DoNotDependOnTheBatchAndEqualNamesAreEqualToTheBit) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const ByteTokenizer tokenizer;
  const at::Tensor whole = ClassWeights(model, tokenizer, Prompts(), Double(100));
  for (const int batch_size : {1, 2, 5, 7}) {
    std::int64_t done = 0;
    const at::Tensor parts = ClassWeights(model, tokenizer, Prompts(), Double(batch_size),
                                          [&](std::int64_t sentences) { done = sentences; });
    EXPECT_TRUE(at::allclose(parts, whole, 0, 1e-12)) << batch_size;
    EXPECT_TRUE(parts[0].equal(parts[2])) << batch_size;
    EXPECT_EQ(done, 12);  // four names that differ, three templates
  }
}

TEST(ClassifyPictures, GivesTheSameForAnyBatchAndForRanges) {
  const ClipModel model(Small(), 7, 0.07, at::kDouble);
  const ByteTokenizer tokenizer;
  FakeSource source = Labelled(43);
  source.bad = {{4, Skip::kNoLabel}, {6, Skip::kNoImage}};
  source.damaged[11] = true;
  const at::Tensor weights = ClassWeights(model, tokenizer, Prompts(), Double(8));
  const auto classify = [&](std::int64_t first, std::int64_t last, int batch_size) {
    return ClassifyPictures(model, source, SampleIndex{first}, SampleIndex{last}, tokenizer,
                            weights, Double(batch_size));
  };
  const ClassHits whole = classify(0, 43, 64);
  EXPECT_EQ(whole.Metrics().images, 21);  // 23 have the labels 0 to 4; 4 and 11 are left out
  EXPECT_EQ(whole.skips()[Skip::kNoLabel], 1);
  EXPECT_EQ(whole.out_of_range(), 20 - 1);
  EXPECT_EQ(whole.first_out_of_range()->record, 5);
  for (const int batch_size : {1, 7}) {
    ExpectEqual(classify(0, 43, batch_size).Metrics(), whole.Metrics());
  }
  RunRanks(2, [&](Communicator& comm) {
    ClassHits half = comm.rank() == 0 ? classify(0, 21, 7) : classify(21, 43, 7);
    half.SumOver(comm);
    ExpectEqual(half.Metrics(), whole.Metrics());
  });
}

TEST(CheckLabels, RefusesASetWithoutAUsableLabelBeforeAnyWork) {
  const auto error_of = [](const FakeSource& source, std::int64_t classes) {
    return ErrorOf<std::runtime_error>(
        [&] { CheckLabels(source, classes, "SET", "FILE", ClassNames({})); });
  };
  FakeSource source = Labelled(1000);
  EXPECT_EQ(error_of(source, 10), "");
  for (std::int64_t i = 0; i < 1000; ++i) source.bad[i] = Skip::kNoLabel;
  EXPECT_NE(error_of(source, 10).find("64 records checked, none can be used: 64 no_label"),
            std::string::npos);
  source.bad = {{0, Skip::kNoLabel}};
  EXPECT_NE(error_of(source, 0).find("record 15 has label 5, but FILE has 0 classes"),
            std::string::npos)
      << error_of(source, 0);
}

}  // namespace
}  // namespace fastclip
