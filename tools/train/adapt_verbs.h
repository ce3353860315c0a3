#pragma once

#include <span>

#include "tools/cli/command.h"

namespace fastclip {

/// Verbs of `fastclip adapt` that work on adapters; without a verb it trains.
std::span<const Command> AdaptVerbs();

RunCommand RunAdaptMerge, RunAdaptUnmerge, RunAdaptExport, RunAdaptImport, RunAdaptFuse,
    RunAdaptInfo;

}  // namespace fastclip
