#include "pipeline/pixels/augment.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "pipeline/base/counter_random.h"

namespace fastclip {
namespace {

/// Halves to the even number, as Python's round().
int Round(double value) { return static_cast<int>(std::nearbyint(value)); }

/// The largest central box whose ratio is allowed.
CropBox CentralCrop(int width, int height, const AugmentOptions& options) {
  const double ratio = static_cast<double>(width) / height;
  int crop_width = width;
  int crop_height = height;
  if (ratio < options.ratio_min) {
    crop_height = std::clamp(Round(width / options.ratio_min), 1, height);
  } else if (ratio > options.ratio_max) {
    crop_width = std::clamp(Round(height * options.ratio_max), 1, width);
  }
  return {(height - crop_height) / 2, (width - crop_width) / 2, crop_height, crop_width};
}

double UsableWeight(const Caption& caption) {
  return std::isfinite(caption.weight) && caption.weight > 0 ? caption.weight : 0.0;
}

}  // namespace

CropBox RandomCrop(int width, int height, const AugmentOptions& options, std::uint64_t seed,
                   std::int64_t epoch, SampleIndex index) {
  if (width < 1 || height < 1) throw std::invalid_argument("RandomCrop: empty image");
  CounterRandom random(seed, RandomStream::kCrop, static_cast<std::uint64_t>(epoch),
                       static_cast<std::uint64_t>(ToInt(index)));
  const double area = static_cast<double>(width) * height;
  const double log_min = std::log(options.ratio_min);
  const double log_max = std::log(options.ratio_max);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double scale =
        options.scale_min + (options.scale_max - options.scale_min) * random.Uniform();
    const double ratio = std::exp(log_min + (log_max - log_min) * random.Uniform());
    const double target = area * scale;
    const double crop_width = std::nearbyint(std::sqrt(target * ratio));
    const double crop_height = std::nearbyint(std::sqrt(target / ratio));
    if (crop_width < 1 || crop_width > width || crop_height < 1 || crop_height > height) continue;
    CropBox box;
    box.height = static_cast<int>(crop_height);
    box.width = static_cast<int>(crop_width);
    box.top = static_cast<int>(random.Below(static_cast<std::uint64_t>(height - box.height) + 1));
    box.left = static_cast<int>(random.Below(static_cast<std::uint64_t>(width - box.width) + 1));
    return box;
  }
  return CentralCrop(width, height, options);
}

int ChooseCaption(std::span<const Caption> captions, std::uint64_t seed, std::int64_t epoch,
                  SampleIndex index) {
  if (captions.empty()) throw std::invalid_argument("ChooseCaption: no caption");
  if (captions.size() == 1) return 0;
  CounterRandom random(seed, RandomStream::kCaption, static_cast<std::uint64_t>(epoch),
                       static_cast<std::uint64_t>(ToInt(index)));
  double total = 0;
  for (const Caption& caption : captions) total += UsableWeight(caption);
  if (total == 0) return static_cast<int>(random.Below(captions.size()));
  double left = random.Uniform() * total;
  int chosen = 0;
  for (std::size_t i = 0; i < captions.size(); ++i) {
    const double weight = UsableWeight(captions[i]);
    if (weight == 0) continue;
    chosen = static_cast<int>(i);  // rounding may leave a rest: then it is the last usable one
    if (left < weight) break;
    left -= weight;
  }
  return chosen;
}

}  // namespace fastclip
