#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// Classification accuracy. All values are fractions, 0 to 1.
struct ClassMetrics {
  double top_1 = 0;
  double top_5 = 0;
  double mean_per_class_recall = 0;  ///< mean top_1 of the classes that have images
  std::int64_t images = 0;
};

/// An image whose label is not a class.
struct OutOfRange {
  std::int64_t record = 0;  ///< SampleIndex
  std::int64_t label = 0;
};

/// Sums of hits per class, so that parts of a set and ranks add up. With tied scores a hit counts
/// its expected value over all orders of the tie, so a model with equal scores for all classes is
/// at chance.
class ClassHits {
 public:
  explicit ClassHits(std::int64_t classes);

  std::int64_t classes() const;
  /// Adds images with features [n, d], SampleIndex `indices` [n] and classes `labels` [n]. Scores
  /// are features · `weights` [classes, d] plus `bias` [classes] if defined, computed in double
  /// precision and rounded to float so that equal classes tie. An image whose label is not a class
  /// is counted and left out. Throws std::runtime_error if a feature is not finite.
  void Add(const at::Tensor& features, const at::Tensor& weights, const at::Tensor& bias,
           std::span<const std::int64_t> labels, std::span<const std::int64_t> indices);
  void AddSkips(const SkipCounts& skips);
  /// Replaces the sums by those over all ranks, on every rank.
  void SumOver(Communicator& comm);

  /// Throws std::runtime_error with the reason if no image was counted.
  ClassMetrics Metrics() const;
  const SkipCounts& skips() const { return skips_; }
  std::int64_t out_of_range() const { return out_of_range_; }
  /// The first such image of the lowest rank that has one.
  const std::optional<OutOfRange>& first_out_of_range() const { return first_out_of_range_; }
  /// "3 no_label, 2 label_out_of_range (record 7 has label 12; the classes are 0 to 9)"; empty
  /// if all were used.
  std::string DescribeLeftOut() const;

 private:
  at::Tensor by_class_;  // double [classes, 3]: images, hits at 1, hits at 5
  SkipCounts skips_{};
  std::int64_t out_of_range_ = 0;
  std::optional<OutOfRange> first_out_of_range_;
};

/// PREFIX + "top1", "top5", "mean_per_class_recall".
std::vector<std::pair<std::string, double>> NamedClassMetrics(const ClassMetrics& metrics,
                                                              const std::string& prefix);

}  // namespace fastclip
