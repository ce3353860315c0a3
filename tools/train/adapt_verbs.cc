#include "tools/train/adapt_verbs.h"

#include <array>

namespace fastclip {
namespace {

const std::array kVerbs = {
    Command{"info", "show an adapter: tuners, parameters, base", RunAdaptInfo},
    Command{"export", "write an adapter for Hugging Face PEFT", RunAdaptExport},
    Command{"import", "read an adapter that PEFT wrote", RunAdaptImport},
    Command{"merge", "write a model with the adapter in its weights", RunAdaptMerge},
    Command{"unmerge", "get the base back from a merged model", RunAdaptUnmerge},
    Command{"fuse", "sum several adapters into one", RunAdaptFuse},
};

}  // namespace

std::span<const Command> AdaptVerbs() { return kVerbs; }

}  // namespace fastclip
