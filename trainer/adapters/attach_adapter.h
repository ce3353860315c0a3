#pragma once

#include <string>

#include "trainer/adapters/adapter.h"

namespace fastclip {

/// Attaches an adapter to a model whose base weights are loaded, with its values, and freezes the
/// rest. Call it once. Throws std::runtime_error, with the folder, before it changes the model:
/// what ReadAdapter() throws, an adapter of another model or of other weights. Returns the adapter;
/// tensors "head.…" are not attached.
Adapter AttachAdapter(ClipModel& model, const std::string& folder);

/// Copies an adapter's values into a model that has its tuners attached. REQUIRES: CheckAdapter().
void TakeValues(ClipModel& model, const Adapter& adapter);

/// The same for an adapter in memory; `where` names it. Does not compare the weights' hash.
void AttachAdapter(ClipModel& model, const Adapter& adapter, const std::string& where);

}  // namespace fastclip
