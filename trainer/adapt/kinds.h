#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "trainer/adapt/recipe.h"
#include "trainer/adapt/settings.h"
#include "trainer/model/attention.h"
#include "trainer/model/dropout.h"
#include "trainer/model/fresh_weights.h"

namespace fastclip {

/// Where one tuner is attached, and how its parameters are made.
struct TunerPlace {
  Site site;
  Transformer& tower;
  TransformerBlock& block;
  FreshWeights& weights;
  /// Which of the model's own parameters train, besides those made here.
  std::vector<std::function<bool(const Parameter&)>>& trains;
  /// What Fail() of the settings prints, with the tuner's text.
  std::function<void(std::string_view)> fail;
  std::shared_ptr<const DropoutKey> dropout{};  ///< of the model

  std::int64_t width() const;  ///< of the residual stream
  /// The tuners beside the branch that the site names: mha, ffn or block.
  std::vector<std::shared_ptr<const BranchTuner>>& branch() const;
  /// A name for a parameter: "image.block.3.ffn.down.weight".
  std::string Name(std::string_view parameter) const;
};

/// Attaches one tuner.
using AttachTuner = std::function<void(const TunerPlace&)>;

struct TunerKind {
  std::string_view name;
  std::vector<std::string_view> places;  ///< "": the whole tower
  /// Reads all settings, and returns what attaches the tuner at each site.
  AttachTuner (*read)(TunerSettings& settings);
};

const std::vector<TunerKind>& TunerKinds();

/// The kinds. Each is explained where it is defined.
AttachTuner ReadLora(TunerSettings& settings);             // lora.cc
AttachTuner ReadParallelLora(TunerSettings& settings);     // parallel_lora.cc
AttachTuner ReadAdapter(TunerSettings& settings);          // adapters.cc
AttachTuner ReadParallelAdapter(TunerSettings& settings);  // adapters.cc
AttachTuner ReadPrefix(TunerSettings& settings);           // learned_attention.cc
AttachTuner ReadParallelPrefix(TunerSettings& settings);   // parallel_prefix.cc
AttachTuner ReadParallelPrompt(TunerSettings& settings);   // parallel_prefix.cc
AttachTuner ReadPromptShallow(TunerSettings& settings);    // prompts.cc
AttachTuner ReadPromptDeep(TunerSettings& settings);       // prompts.cc
AttachTuner ReadS2ft(TunerSettings& settings);             // s2ft_kind.cc
AttachTuner ReadBitFit(TunerSettings& settings);           // base_parts.cc
AttachTuner ReadFull(TunerSettings& settings);             // base_parts.cc

}  // namespace fastclip
