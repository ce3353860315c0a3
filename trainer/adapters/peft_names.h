#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "trainer/adapt/recipe.h"

namespace fastclip {

/// Whose module names an adapter in PEFT's layout has.
enum class Dialect {
  kHfClip,    ///< transformers' CLIPModel: "vision_model.encoder.layers.0.self_attn.q_proj"
  kOpenClip,  ///< OpenCLIP: "visual.transformer.resblocks.0.attn", one for q, k and v
};

/// The path of a linear map's module, as in the names of tensors. q, k and v of kOpenClip have the
/// same.
std::string ModulePath(const Site& site, Dialect dialect);
/// The module that PEFT's target_modules and patterns name; of kOpenClip, `o` belongs to `attn`.
std::string TargetPath(const Site& site, Dialect dialect);

/// A module of PEFT's: a linear map, or all rows of in_proj (place "in_proj").
struct PeftModule {
  Site site;
  Dialect dialect;
};
/// Reads ModulePath() of either dialect; nothing if it is none.
std::optional<PeftModule> ModuleOf(std::string_view path);

/// The site of a tuner's parameter, "image.block.3.q.lora_A", and what follows it, "lora_A".
/// Nothing if the name is no such.
struct SiteParameter {
  Site site;
  std::string name;
};
std::optional<SiteParameter> SiteOfParameter(std::string_view name);

/// OpenCLIP's name of the weight of a linear map: "visual.….attn.in_proj_weight" for q, k and v.
std::string WeightName(const Site& site);

/// A tuner's parameter in the layout for which PEFT has none:
/// "visual.transformer.resblocks.3.ut.ffn.down.weight". Other names stay.
std::string OwnLayoutName(const std::string& parameter);
std::string FromOwnLayoutName(const std::string& name);

}  // namespace fastclip
