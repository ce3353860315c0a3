#include "pipeline/order/mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

constexpr double kMostRows = 0x1p50;

/// Whole rows that add up to `rows`, each part within one of its share.
std::vector<std::int64_t> Share(std::span<const double> shares, double rows) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<std::int64_t> parts;
  double seen = 0;
  std::int64_t given = 0;
  for (const double share : shares) {
    seen += share;
    const std::int64_t end = std::llround(seen / sum * rows);
    parts.push_back(end - given);
    given = end;
  }
  return parts;
}

void Check(const char* name, std::span<const double> values, std::size_t sources) {
  const std::string one(name, std::strlen(name) - 1);
  if (values.size() != sources) {
    throw std::invalid_argument(fmt::format("{} for {} sources joined by '::'; set one per source",
                                            Counted(std::ssize(values), one), sources));
  }
  for (const double value : values) {
    if (!(value >= 0 && value <= kMostRows)) {
      throw std::invalid_argument(
          fmt::format("{}: {} is not a valid {} (must be >= 0)", name, value, one));
    }
  }
  if (std::ranges::all_of(values, [](double value) { return value == 0; })) {
    throw std::invalid_argument(fmt::format("{}: all are 0; set at least one above 0", name));
  }
}

}  // namespace

std::vector<MixPart> MixOf(const MixOptions& mix, std::span<const std::int64_t> sizes) {
  const int given = !mix.weights.empty() + !mix.repeats.empty() + !mix.counts.empty();
  if (given > 1) {
    throw std::invalid_argument(
        "weights, repeats and counts cannot be combined; set only one of them");
  }
  if (mix.epoch_samples != 0 && (given == 0 ? !mix.resampled : !mix.counts.empty())) {
    throw std::invalid_argument(
        "epoch_samples needs weights, repeats or resampled, and cannot be combined with counts");
  }
  if (given == 0) {
    if (mix.epoch_samples == 0) return {};
    const auto all = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
    return {{all, mix.epoch_samples}};
  }
  if (sizes.size() == 1) {
    throw std::invalid_argument("a mix needs at least two sources; join them with '::'");
  }

  std::vector<double> shares = mix.weights;
  const char* name = "weights";
  if (!mix.repeats.empty()) {
    shares = mix.repeats;
    name = "repeats";
  } else if (!mix.counts.empty()) {
    shares.assign(mix.counts.begin(), mix.counts.end());
    name = "counts";
  }
  Check(name, shares, sizes.size());
  double rows = static_cast<double>(mix.epoch_samples);
  if (!mix.repeats.empty()) {
    for (std::size_t i = 0; i < sizes.size(); ++i) shares[i] *= static_cast<double>(sizes[i]);
  }
  if (rows == 0) {
    rows = mix.weights.empty()
               ? std::accumulate(shares.begin(), shares.end(), 0.0)
               : static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}));
  }
  if (!(rows <= kMostRows)) {
    throw std::invalid_argument(fmt::format("an epoch of {:.3g} samples is too long; lower {}",
                                            rows, mix.epoch_samples != 0 ? "epoch_samples" : name));
  }
  const std::vector<std::int64_t> parts = Share(shares, std::round(rows));
  std::vector<MixPart> mixed;
  for (std::size_t i = 0; i < sizes.size(); ++i) mixed.push_back({sizes[i], parts[i]});
  return mixed;
}

}  // namespace fastclip
