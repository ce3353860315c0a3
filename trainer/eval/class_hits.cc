#include "trainer/eval/class_hits.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "trainer/eval/encode_set.h"

namespace fastclip {
namespace {

constexpr std::int64_t kTile = 2048;  // pictures scored at once

/// Chance that the own class is among the first k where `above` classes score more and `equal`
/// others the same: (k − above) / (equal + 1) of its places, [n] double.
at::Tensor ExpectedHit(const at::Tensor& above, const at::Tensor& equal, double k) {
  return ((k - above) / (equal + 1)).clamp(0, 1);
}

}  // namespace

ClassHits::ClassHits(std::int64_t classes) : by_class_(at::zeros({classes, 3}, at::kDouble)) {}

std::int64_t ClassHits::classes() const { return by_class_.size(0); }

void ClassHits::Add(const at::Tensor& features, const at::Tensor& weights, const at::Tensor& bias,
                    std::span<const std::int64_t> labels, std::span<const std::int64_t> indices) {
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> rows, own;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0 && labels[i] < classes()) {
      rows.push_back(static_cast<std::int64_t>(i));
      own.push_back(labels[i]);
    } else {
      ++out_of_range_;
      if (!first_out_of_range_) first_out_of_range_ = {indices[i], labels[i]};
    }
  }
  if (rows.empty()) return;
  CheckFeatures(features, "images");
  const at::Tensor columns = weights.to(at::kDouble).t();  // [d, classes]
  const at::Tensor all_rows = at::tensor(rows, at::kLong).to(features.device());
  const at::Tensor all_labels = at::tensor(own, at::kLong).to(features.device());
  const auto used = static_cast<std::int64_t>(rows.size());
  for (std::int64_t first = 0; first < used; first += kTile) {
    const std::int64_t last = std::min(first + kTile, used);
    const at::Tensor label = all_labels.slice(0, first, last);
    at::Tensor scores =
        features.index_select(0, all_rows.slice(0, first, last)).to(at::kDouble).mm(columns);
    if (bias.defined()) scores += bias;
    scores = scores.to(at::kFloat);                                     // [tile, classes]
    const at::Tensor own_score = scores.gather(1, label.unsqueeze(1));  // [tile, 1]
    const at::Tensor above = (scores > own_score).sum(1).to(at::kDouble);
    const at::Tensor equal = (scores == own_score).sum(1).to(at::kDouble) - 1;
    const at::Tensor hits = at::stack(
        {at::ones_like(above), ExpectedHit(above, equal, 1), ExpectedHit(above, equal, 5)}, 1);
    by_class_.index_add_(0, label.cpu(), hits.cpu());
  }
}

void ClassHits::AddSkips(const SkipCounts& skips) { skips_ += skips; }

void ClassHits::SumOver(Communicator& comm) {
  // One row a rank; counts are exact in double.
  std::vector<double> counts(skips_.values().begin(), skips_.values().end());
  counts.push_back(static_cast<double>(out_of_range_));
  const OutOfRange first = first_out_of_range_.value_or(OutOfRange{-1, -1});
  counts.push_back(static_cast<double>(first.record));
  counts.push_back(static_cast<double>(first.label));
  const at::Tensor mine = at::cat({at::tensor(counts, at::kDouble), by_class_.flatten()});
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.world_size()), 1);
  const at::Tensor all = comm.AllGather(mine.unsqueeze(0), one_each).cpu();
  const at::Tensor sum = all.sum(0);
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    skips_.values()[cause] = static_cast<std::int64_t>(sum[cause].item<double>());
  }
  out_of_range_ = static_cast<std::int64_t>(sum[kSkipCauses].item<double>());
  for (std::int64_t rank = 0; rank < all.size(0) && !first_out_of_range_; ++rank) {
    const auto record = static_cast<std::int64_t>(all[rank][kSkipCauses + 1].item<double>());
    const auto label = static_cast<std::int64_t>(all[rank][kSkipCauses + 2].item<double>());
    if (record >= 0) first_out_of_range_ = {record, label};
  }
  by_class_ = sum.slice(0, kSkipCauses + 3).view_as(by_class_).clone();
}

ClassMetrics ClassHits::Metrics() const {
  const at::Tensor images = by_class_.select(1, 0), hits = by_class_.select(1, 1);
  const double total = images.sum().item<double>();
  if (total == 0) {
    const std::string why = DescribeLeftOut();
    throw std::runtime_error(
        fmt::format("no image could be evaluated: {}", why.empty() ? "the set is empty" : why));
  }
  const at::Tensor seen = images > 0;
  return {.top_1 = hits.sum().item<double>() / total,
          .top_5 = by_class_.select(1, 2).sum().item<double>() / total,
          .mean_per_class_recall =
              (hits.masked_select(seen) / images.masked_select(seen)).mean().item<double>(),
          .images = static_cast<std::int64_t>(total)};
}

std::string ClassHits::DescribeLeftOut() const {
  std::string text = DescribeSkips(skips_);
  if (out_of_range_ > 0) {
    text += fmt::format("{}{} label_out_of_range (record {} has label {}; the classes are 0 to {})",
                        text.empty() ? "" : ", ", out_of_range_, first_out_of_range_->record,
                        first_out_of_range_->label, classes() - 1);
  }
  return text;
}

std::vector<std::pair<std::string, double>> NamedClassMetrics(const ClassMetrics& metrics,
                                                              const std::string& prefix) {
  return {{prefix + "top1", metrics.top_1},
          {prefix + "top5", metrics.top_5},
          {prefix + "mean_per_class_recall", metrics.mean_per_class_recall}};
}

}  // namespace fastclip
