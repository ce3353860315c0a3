#pragma once

#include <string>
#include <vector>

#include "trainer/adapt/class_head.h"
#include "trainer/adapt/recipe.h"
#include "trainer/base/named_tensors.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// Tuners and their values, apart from the model that they were trained on.
struct Adapter {
  std::string model;                ///< its name
  std::string model_config;         ///< OpenClipJson() of it
  std::string base;                 ///< BaseHash() of its weights; empty: unknown
  std::vector<std::string> tuners;  ///< the recipe
  /// Of tuners: SITE.name, as in "image.block.0.q.lora_A". Others: parameters of the model itself
  /// that trained, under OpenCLIP's names, and what does not belong to a CLIP model
  /// ("head.weight").
  NamedTensors tensors;
  std::string head{};                  ///< what its class head is, a name of HeadInputOf(); or none
  std::vector<std::string> classes{};  ///< of the head; empty: numbers alone
};

/// The values that a model with attached tuners has now. `base`: BaseHash() before training.
Adapter AdapterOf(const ClipModel& model, const std::vector<std::string>& tuners,
                  const std::string& base);

ModelConfig ModelOf(const Adapter& adapter);
/// Classes of its head; 0 without one.
std::int64_t ClassesOf(const Adapter& adapter);
/// Reads the recipe. Throws std::runtime_error with `where` and the reason.
std::vector<TunerSpec> ReadRecipe(const Adapter& adapter, const std::string& where);
/// Checks that recipe, model and the shapes of all tensors fit each other, and that values are
/// finite. Throws std::runtime_error with `where` and the first fault.
void CheckAdapter(const Adapter& adapter, const std::string& where);

/// Parameters of the model itself among the adapter's tensors.
NamedTensors ModelTensors(const Adapter& adapter);

}  // namespace fastclip
