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

/// How often pictures are given their class. All are shares, 0 to 1.
struct ClassMetrics {
  double top_1 = 0;
  double top_5 = 0;
  double mean_per_class_recall = 0;  ///< mean of the classes' top_1; of those that have pictures
  std::int64_t images = 0;
};

/// A picture whose label is no class.
struct OutOfRange {
  std::int64_t record = 0;  ///< SampleIndex
  std::int64_t label = 0;
};

/// Hits, class by class, as sums: parts of a set, and ranks, add up. Where scores tie, a hit is its
/// expected value over all orders of those that tie, so that a model that gives all classes one
/// score is at chance.
class ClassHits {
 public:
  explicit ClassHits(std::int64_t classes);

  std::int64_t classes() const;
  /// Pictures with the features [n, d], of the SampleIndex `indices` [n] and the classes `labels`
  /// [n]. A class's score is the product with its row of `weights` [classes, d] plus `bias`
  /// [classes] where that is defined, in double precision, rounded to float so that equal classes
  /// tie. A label that is no class is counted and its picture left out. Throws std::runtime_error
  /// where a feature is not finite.
  void Add(const at::Tensor& features, const at::Tensor& weights, const at::Tensor& bias,
           std::span<const std::int64_t> labels, std::span<const std::int64_t> indices);
  void AddSkips(const SkipCounts& skips);
  /// The sum over all ranks, on each of them.
  void SumOver(Communicator& comm);

  /// Throws std::runtime_error where no picture was counted; it says why.
  ClassMetrics Metrics() const;
  const SkipCounts& skips() const { return skips_; }
  std::int64_t out_of_range() const { return out_of_range_; }
  /// The first of them, as far as ranks know.
  const std::optional<OutOfRange>& first_out_of_range() const { return first_out_of_range_; }
  /// "3 no_label, 2 label_out_of_range (record 7 has label 12; the classes are 0 to 9)"; empty
  /// where all were used.
  std::string DescribeLeftOut() const;

 private:
  at::Tensor by_class_;  // double [classes, 3]: pictures, hits at 1, hits at 5
  SkipCounts skips_{};
  std::int64_t out_of_range_ = 0;
  std::optional<OutOfRange> first_out_of_range_;
};

/// PREFIX + "top1", "top5", "mean_per_class_recall".
std::vector<std::pair<std::string, double>> NamedClassMetrics(const ClassMetrics& metrics,
                                                              const std::string& prefix);

}  // namespace fastclip
