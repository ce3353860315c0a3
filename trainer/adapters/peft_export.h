#pragma once

#include <string>

#include "trainer/adapters/adapter.h"
#include "trainer/adapters/peft_names.h"

namespace fastclip {

/// The two files of an adapter folder.
struct AdapterDocument {
  std::string config;  ///< adapter_config.json
  NamedTensors tensors;
};

/// An adapter whose tuners are all of the kind lora, in PEFT's layout.
///
/// kOpenClip: PEFT has one pair for q, k and v together. A is stacked and B block-diagonal, with
/// three times the rank, and an `o` pair of zeros. Throws std::runtime_error for an `o` pair that
/// is not zero: PEFT 0.21 adds it twice.
///
/// Trained projections of kHfClip are PEFT's modules_to_save. Other parameters of the model itself
/// keep their names, and PEFT ignores them (IgnoredByPeft()).
AdapterDocument ToPeft(const Adapter& adapter, Dialect dialect);

/// Names of tensors that PEFT does not read from ToPeft().
std::vector<std::string> IgnoredByPeft(const Adapter& adapter, Dialect dialect);

/// Modules of CLIPModel that hold a parameter of ours, transposed.
struct SavedModule {
  const char *theirs, *ours;
};
inline constexpr SavedModule kSavedModules[] = {{"text_projection", "text_projection"},
                                                {"visual_projection", "visual.proj"}};

}  // namespace fastclip
