#pragma once

#include <string>

#include "trainer/adapters/adapter.h"

namespace fastclip {

/// Key of the metadata of adapter_model.safetensors under which an adapter's model, base and recipe
/// are. In adapter_config.json PEFT would warn of a key that it does not know.
inline constexpr const char* kAdapterMeta = "fastclip";

/// As JSON. `with_recipe`: else the recipe follows from the tensors.
std::string FormatAdapterMeta(const Adapter& adapter, bool with_recipe);

/// An adapter without tensors, and without a recipe if the text has none. Throws std::runtime_error
/// with `file` and the reason.
Adapter ParseAdapterMeta(const std::string& text, const std::string& file);

}  // namespace fastclip
