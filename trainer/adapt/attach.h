#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/adapt/recipe.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// What an adaptation trains besides its tuners, and the tuners: section [adapt].
struct AdaptOptions {
  std::vector<std::string> tuners;  ///< each as ReadTuner reads it
  bool logit_scale = true;          ///< train logit_scale (and logit_bias)
  bool projections = false;         ///< train the projections into the common space
  /// Adapters whose columns S²FT leaves to them: folders, checkpoints or runs.
  std::vector<std::string> exclude{};
  /// Batches on which S²FT's scores are measured; 0: a hundredth of an epoch's
  /// (CalibrationBatches).
  std::int64_t calibration_batches = 0;
  std::string task = "contrastive";  ///< or "classify": a head learns labels
  std::string classes{};             ///< OpenClassSet()
  std::string label_key{};           ///< SourceOptions::labels
  std::string head = "linear";       ///< a name of HeadInputOf()
  std::string templates = "openai";  ///< of a zero-shot head: ReadTemplates()

  bool classifies() const { return task == "classify"; }
  /// Whether anything is adapted; else a whole model trains.
  bool on() const { return classifies() || !tuners.empty(); }
};

/// Reads the recipe for a model. Throws std::invalid_argument like ReadTuner and the kinds.
std::vector<TunerSpec> ReadRecipe(const AdaptOptions& options, const ModelConfig& model);

/// Attaches all tuners and, if it classifies, a head for `classes` classes (0: none) to a model,
/// and freezes everything else. Start values depend on the seed and the site's name alone. Throws
/// std::invalid_argument before anything is attached: recipe and model do not fit, two tuners that
/// exclude each other at one site, nothing left to train. Call it once, and before the optimizer is
/// made.
void AttachTuners(ClipModel& model, const AdaptOptions& options, std::uint64_t seed,
                  std::int64_t classes = 0);

/// A line a tuner: its sites and the elements that it trains; and what else trains. `model` has
/// them attached.
std::vector<std::string> DescribeTuners(const ClipModel& model, const AdaptOptions& options);

}  // namespace fastclip
