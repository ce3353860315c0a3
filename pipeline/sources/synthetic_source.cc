#include "pipeline/sources/synthetic_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "pipeline/base/counter_random.h"
#include "pipeline/pixels/encode.h"
#include "pipeline/records/block_builder.h"

namespace fastclip {
namespace {

struct Color {
  std::string_view name;
  Rgb rgb;
};
constexpr Color kColors[] = {{"red", {220, 40, 30}},     {"green", {40, 160, 60}},
                             {"blue", {40, 70, 210}},    {"yellow", {240, 210, 40}},
                             {"black", {20, 20, 20}},    {"white", {245, 245, 245}},
                             {"orange", {240, 140, 30}}, {"purple", {130, 50, 160}}};
constexpr std::uint64_t kColorCount = std::size(kColors);
constexpr std::string_view kShapes[] = {"circle", "square", "triangle", "ring", "cross", "bar"};
constexpr std::string_view kPlaces[] = {"on the left", "in the middle", "on the right"};

struct Scene {
  int width, height;
  std::uint64_t shape, color, ground, place;
};

Scene SceneOf(std::int64_t index) {
  CounterRandom random(Mix(static_cast<std::uint64_t>(index), 0x5ce7e));
  Scene scene{};
  scene.width = 40 + static_cast<int>(random.Below(64));
  scene.height = 40 + static_cast<int>(random.Below(64));
  scene.shape = random.Below(std::size(kShapes));
  scene.color = random.Below(kColorCount);
  scene.ground = (scene.color + 1 + random.Below(kColorCount - 1)) % kColorCount;
  scene.place = random.Below(std::size(kPlaces));
  return scene;
}

/// Is the point, in units of the shape's half size around its middle, on the shape?
bool Covers(std::uint64_t shape, double x, double y) {
  const double r2 = x * x + y * y;
  switch (shape) {
    case 0:
      return r2 < 1;
    case 1:
      return std::fabs(x) < 0.9 && std::fabs(y) < 0.9;
    case 2:
      return y > -1 && y < 0.8 && std::fabs(x) < (y + 1) / 1.8;
    case 3:
      return r2 < 1 && r2 > 0.4;
    case 4:
      return (std::fabs(x) < 0.3 || std::fabs(y) < 0.3) && std::fabs(x) < 1 && std::fabs(y) < 1;
    default:
      return std::fabs(x) < 1 && std::fabs(y) < 0.35;
  }
}

Image Draw(const Scene& scene) {
  const double half = 0.38 * std::min(scene.width, scene.height);
  const double middle_x = scene.width * (0.35 + 0.15 * static_cast<double>(scene.place));
  const double middle_y = scene.height * 0.5;
  Image image{scene.width, scene.height, {}};
  image.pixels.reserve(static_cast<std::size_t>(scene.width * scene.height) * 3);
  for (int y = 0; y < scene.height; ++y) {
    for (int x = 0; x < scene.width; ++x) {
      const bool on = Covers(scene.shape, (x + 0.5 - middle_x) / half, (y + 0.5 - middle_y) / half);
      const Rgb& rgb = kColors[on ? scene.color : scene.ground].rgb;
      image.pixels.insert(image.pixels.end(), rgb.begin(), rgb.end());
    }
  }
  return image;
}

}  // namespace

RecordBlock SyntheticSource::Read(SampleIndex first, int count, std::stop_token stop) const {
  if (ToInt(first) < 0 || count < 0 || ToInt(first) > size_ - count) {
    throw std::out_of_range(
        fmt::format("{1} records from {0}: only {2} exist", ToInt(first), count, size_));
  }
  BlockBuilder builder;
  for (std::int64_t index = ToInt(first); index < ToInt(first) + count; ++index) {
    if (stop.stop_requested()) throw std::runtime_error("synthetic: reading was stopped");
    const Scene scene = SceneOf(index);
    const std::vector<std::byte> png = EncodePng(Draw(scene));
    const auto image = builder.Allocate(png.size());
    std::memcpy(image.data(), png.data(), png.size());
    const std::string_view key = builder.Keep(fmt::format("{:09}", index));
    const std::string_view caption = builder.Keep(
        fmt::format("a {} {} on a {} ground, {}, number {}", kColors[scene.color].name,
                    kShapes[scene.shape], kColors[scene.ground].name, kPlaces[scene.place], index));
    Record& record = builder.Add(SampleIndex{index});
    record.key = key;
    record.image = image;
    record.label = static_cast<std::int64_t>(scene.shape);
    if (!labelled_) builder.AddCaption(caption);
  }
  return builder.Finish();
}

std::uint64_t SyntheticSource::hash() const {
  return Mix(0x5ce7e, static_cast<std::uint64_t>(size_));
}

}  // namespace fastclip
