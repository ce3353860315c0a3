#include "trainer/model/openclip_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "pipeline/base/json_depth.h"
#include "trainer/model/presets.h"

namespace fastclip {
namespace {

using nlohmann::json;

/// OpenCLIP keys without a counterpart, with the value that means "not used"; empty if any value
/// does: they belong to a part that another key switches on, or only to training.
struct Neutral {
  std::string_view key;
  std::string_view value;
};
constexpr auto kNeutral = std::to_array<Neutral>({{"init_logit_bias", ""},
                                                  {"init_logit_scale", ""},
                                                  {"vision_cfg/patch_dropout", ""},
                                                  {"vision_cfg/output_tokens", ""},
                                                  {"vision_cfg/attn_pooler_queries", ""},
                                                  {"vision_cfg/attn_pooler_heads", ""},
                                                  {"vision_cfg/timm_model_pretrained", ""},
                                                  {"vision_cfg/timm_pool", ""},
                                                  {"vision_cfg/timm_proj", ""},
                                                  {"vision_cfg/timm_drop", ""},
                                                  {"vision_cfg/pos_embed_type", "\"learnable\""},
                                                  {"vision_cfg/pool_type", "\"tok\""},
                                                  {"vision_cfg/block_type", "\"default\""},
                                                  {"text_cfg/pad_id", ""},
                                                  {"text_cfg/eos_id", ""},
                                                  {"text_cfg/output_tokens", ""},
                                                  {"text_cfg/hf_model_pretrained", ""},
                                                  {"text_cfg/hf_proj_type", ""},
                                                  {"text_cfg/hf_pooler_type", ""},
                                                  {"text_cfg/pool_type", "\"argmax\""},
                                                  {"text_cfg/proj_type", "\"linear\""},
                                                  {"text_cfg/block_type", "\"default\""}});

bool IsNeutral(const std::string& key, const json& value) {
  if (value.is_null() || value == false || (value.is_structured() && value.empty())) return true;
  return std::ranges::any_of(kNeutral, [&](const Neutral& neutral) {
    return neutral.key == key && (neutral.value.empty() || neutral.value == value.dump());
  });
}

/// "/vision_cfg/head_width" → "vision_cfg/head_width" → "vision.head_width".
std::string OurKey(std::string key) {
  for (const std::string_view section : {"vision_cfg/", "text_cfg/"}) {
    if (key.starts_with(section)) key.replace(section.size() - 5, 5, ".");
  }
  return key;
}

json Parse(const std::string& text) {
  json parsed =
      IsTooDeepJson(text) ? json() : json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) throw std::runtime_error("the model's config is not a JSON object");
  return parsed;
}

/// Values by key, lists whole.
std::map<std::string, json> Flat(const json& config) {
  std::map<std::string, json> flat;
  for (const auto& [key, value] : config.items()) {
    if (!value.is_object()) {
      flat[key] = value;
      continue;
    }
    for (const auto& [inner, inner_value] : value.items()) flat[key + "/" + inner] = inner_value;
  }
  return flat;
}

/// With OpenCLIP's defaults for what is left out.
std::map<std::string, json> Completed(const json& config) {
  ModelConfig defaults;
  defaults.vision.patch_size = 16;
  std::map<std::string, json> flat = Flat(config);
  for (const auto& [key, value] : Flat(Parse(OpenClipJson(defaults)))) flat.emplace(key, value);
  return flat;
}

std::string Shown(const std::map<std::string, json>& config, const std::string& key) {
  const auto found = config.find(key);
  if (found == config.end() || found->second.is_null()) return "none";
  return found->second.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::optional<ModelDifference> DifferenceFrom(const std::string& text, const ModelConfig& ours) {
  const std::map<std::string, json> theirs = Completed(Parse(text));
  const std::map<std::string, json> mine = Flat(Parse(OpenClipJson(ours)));
  const auto difference = [&](const std::string& key) {
    return ModelDifference{OurKey(key), Shown(theirs, key), Shown(mine, key)};
  };
  std::vector<std::string> keys = {"quick_gelu", "vision_cfg/head_width", "text_cfg/heads"};
  for (const auto& [key, value] : mine) keys.push_back(key);
  for (const std::string& key : keys) {
    if (key == "init_logit_bias") continue;
    if (Shown(theirs, key) == Shown(mine, key)) continue;
    const auto was = theirs.find(key);
    // 4 is 4.0.
    if (was != theirs.end() && was->second == mine.at(key)) continue;
    return difference(key);
  }
  for (const auto& [key, value] : theirs) {
    // A ResNet's config may carry what only a ViT has.
    if (ours.vision.is_resnet() && key == "vision_cfg/mlp_ratio") continue;
    if (!mine.contains(key) && !IsNeutral(key, value)) return difference(key);
  }
  return std::nullopt;
}

ModelConfig ModelOfOpenClipJson(const std::string& text, const std::string& name) {
  const json config = Parse(text);
  const std::map<std::string, json> flat = Completed(config);
  ModelConfig model;
  model.name = name;
  try {
    const auto take = [&](const char* key, auto& field) { flat.at(key).get_to(field); };
    if (!config.contains("embed_dim")) throw std::runtime_error("the model's embed_dim is missing");
    take("embed_dim", model.embed_dim);
    take("quick_gelu", model.quick_gelu);
    VisionConfig& vision = model.vision;
    take("vision_cfg/image_size", vision.image_size);
    take("vision_cfg/width", vision.width);
    take("vision_cfg/head_width", vision.head_width);
    if (flat.at("vision_cfg/layers").is_array()) {
      take("vision_cfg/layers", vision.resnet_layers);
    } else {
      take("vision_cfg/layers", vision.layers);
      take("vision_cfg/patch_size", vision.patch_size);
      take("vision_cfg/mlp_ratio", vision.mlp_ratio);
    }
    TextConfig& tokens = model.text;
    take("text_cfg/context_length", tokens.context_length);
    take("text_cfg/vocab_size", tokens.vocab_size);
    take("text_cfg/width", tokens.width);
    take("text_cfg/heads", tokens.heads);
    take("text_cfg/layers", tokens.layers);
    take("text_cfg/mlp_ratio", tokens.mlp_ratio);
    CheckModelConfig(model);
  } catch (const json::exception& error) {
    throw std::runtime_error(fmt::format("the model's config is invalid: {}", error.what()));
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(error.what());
  }
  if (const auto difference = DifferenceFrom(text, model)) {
    throw std::runtime_error(
        fmt::format("unsupported model: {} = {}", difference->key, difference->theirs));
  }
  return model;
}

}  // namespace fastclip
