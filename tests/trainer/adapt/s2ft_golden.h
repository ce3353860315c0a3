#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/trainer/adapt/golden.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapt/selection.h"
#include "trainer/model/attention.h"

namespace fastclip {

using Picks = std::vector<std::pair<std::string, std::string>>;  // site, units

/// The selections of the golden cases s2ft and s2ft_second, in the manifest's order.
inline const Picks kFirstPicks = {
    {"image.block.0.o", "2,0"},   {"image.block.0.fc2", "17,5,90,41"},
    {"image.block.1.o", "1"},     {"image.block.1.fc2", "2,60,61"},
    {"image.block.2.o", "2,0"},   {"image.block.2.fc2", "95,0,33,34,7"},
    {"text.block.0.o", "1"},      {"text.block.0.fc2", "100,3,64"},
    {"text.block.1.fc2", "127,1"}};
inline const Picks kSecondPicks = {{"image.block.0.o", "1"},   {"image.block.0.fc2", "18,4"},
                                   {"image.block.1.o", "0,2"}, {"image.block.1.fc2", "59"},
                                   {"image.block.2.o", "1"},   {"image.block.2.fc2", "1,94"},
                                   {"text.block.0.o", "0"},    {"text.block.0.fc2", "99,2"},
                                   {"text.block.1.o", "1"},    {"text.block.1.fc2", "0,126"}};

inline std::vector<std::string> RecipeOf(const Picks& picks) {
  std::vector<std::string> recipe;
  for (const auto& [site, units] : picks) recipe.push_back("s2ft " + site + " pick=" + units);
  return recipe;
}

/// Of a site like "image.block.1.o".
inline TransformerBlock& BlockAt(ClipModel& model, const std::string& site) {
  const Tower tower = site.starts_with("image") ? Tower::kImage : Tower::kText;
  const std::size_t number = static_cast<std::size_t>(site[site.find("block.") + 6] - '0');
  return model.transformer(tower)->blocks()[number];
}

inline Linear& MapAt(ClipModel& model, const std::string& site) {
  return ConsumerOf(BlockAt(model, site), GroupAt(site.ends_with(".o") ? "o" : "fc2"));
}

inline const std::vector<std::string> kRecipe = {"s2ft *.block.*.{o,fc2} heads=1 channels=5"};
inline constexpr OptimizerOptions kAdamW = {
    .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0};

inline NamedTensors GradientsOf(const AdaptedModel& model) {
  NamedTensors all;
  for (const auto& [name, tensor] : model.model.trainable()) {
    all.emplace_back(name, tensor.grad().clone());
  }
  return all;
}

inline void ExpectAllNear(const NamedTensors& ours, const NamedTensors& theirs, double tolerance) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_EQ(ours[i].first, theirs[i].first);
    ExpectNear(ours[i].second, theirs[i].second, tolerance, ours[i].first);
  }
}

inline NamedTensors CopyOf(const NamedTensors& tensors) {
  NamedTensors copy;
  for (const auto& [name, tensor] : tensors) copy.emplace_back(name, tensor.detach().clone());
  return copy;
}

}  // namespace fastclip
