#include "trainer/model/weights_fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>

#include "trainer/model/clip_model.h"

namespace fastclip {
namespace {

using Shape = std::vector<std::int64_t>;

// The first few of a list, for one line of an error.
std::string FirstOf(const std::vector<std::string>& list) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(list.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + list[i];
  if (list.size() > kShown) text += fmt::format(" and {} more", list.size() - kShown);
  return text;
}

bool IsOneNumber(const Shape& shape) {
  return std::ranges::all_of(shape, [](std::int64_t size) { return size == 1; });
}

/// Places on a side of a square grid whose embedding has a row for each and one more.
std::int64_t SideOf(std::int64_t rows) {
  return static_cast<std::int64_t>(std::lround(std::sqrt(std::max<double>(rows - 1, 0))));
}

/// What to do about a tensor of another shape, where that is known.
std::string RemedyFor(const ModelConfig& model, const std::string& name, const Shape& theirs,
                      const Shape& ours) {
  if (theirs.size() != 2 || ours.size() != 2 || theirs[0] == ours[0]) return "";
  if (name == "token_embedding.weight") {
    return fmt::format(
        "; its vocabulary has {} entries, the model's {}; use the tokenizer and text.vocab_size it "
        "was trained with",
        theirs[0], ours[0]);
  }
  if (name == "positional_embedding") {
    return fmt::format(
        "; its context length is {}, the model's {}; set text.context_length = {} in a model file "
        "(positional embeddings are not resized)",
        theirs[0], ours[0], theirs[0]);
  }
  const bool vit = name == "visual.positional_embedding";
  if (!vit && name != "visual.attnpool.positional_embedding") return "";
  const std::int64_t place = vit ? model.vision.patch_size : kResNetShrink;
  return fmt::format(
      "; its image size is {}, the model's {}; set vision.image_size = {} in a model file "
      "(positional embeddings are not resized)",
      SideOf(theirs[0]) * place, model.vision.image_size, SideOf(theirs[0]) * place);
}

/// A hint from tensor names that are not ours.
std::string HintOf(const std::vector<std::string>& unknown) {
  const auto any = [&](const char* prefix) {
    return std::ranges::any_of(unknown, [&](auto& name) { return name.starts_with(prefix); });
  };
  if (any("vision_model.") || any("text_model.")) {
    return "; these are tensor names of Hugging Face transformers; use the file that OpenCLIP "
           "reads "
           "(open_clip_model.safetensors)";
  }
  if (any("visual.trunk.") || any("text.")) {
    return "; the model uses OpenCLIP towers that are not supported (timm, Hugging Face or custom "
           "text)";
  }
  return "";
}

}  // namespace

void CheckWeightsFit(const ModelConfig& model, const std::vector<NamedShape>& ours,
                     const std::vector<NamedShape>& theirs, const std::string& where) {
  constexpr const char* kOptional = "logit_bias";
  std::map<std::string, const NamedShape*> open;
  for (const NamedShape& tensor : ours) open.emplace(tensor.name, &tensor);
  std::vector<std::string> unknown, misshaped, missing;
  std::string hint;
  for (const auto& [name, shape, ignored] : theirs) {
    const auto found = open.find(name);
    if (found == open.end()) {
      if (name != kOptional) unknown.push_back(name);
      continue;
    }
    const Shape& target = found->second->shape;
    open.erase(found);
    if (target == shape || (IsOneNumber(target) && IsOneNumber(shape))) continue;
    misshaped.push_back(fmt::format("{} [{}] instead of [{}]", name, fmt::join(shape, ", "),
                                    fmt::join(target, ", ")));
    if (hint.empty()) hint = RemedyFor(model, name, shape, target);
  }
  for (const auto& [name, tensor] : open) {
    if (tensor->may_be_missing) continue;
    // Old checkpoints, and those of frozen statistics, do not count batches; nothing depends on it.
    if (!name.ends_with(".num_batches_tracked")) missing.push_back(name);
  }
  if (missing.empty() && unknown.empty() && misshaped.empty()) return;

  std::string text = fmt::format("{} does not fit the model {}", where, model.name);
  if (!missing.empty()) text += fmt::format("; {} missing: {}", missing.size(), FirstOf(missing));
  if (!unknown.empty()) text += fmt::format("; {} unknown: {}", unknown.size(), FirstOf(unknown));
  if (!misshaped.empty())
    text += fmt::format("; {} with another shape: {}", misshaped.size(), FirstOf(misshaped));
  // The hint explains a different size only; anything more means another model.
  if (!missing.empty() || !unknown.empty()) hint = HintOf(unknown);
  throw std::runtime_error(text +
                           (hint.empty() ? "; check that the weights belong to this model" : hint));
}

}  // namespace fastclip
