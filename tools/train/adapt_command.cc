#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "tools/cli/usage_error.h"
#include "tools/train/adapt_verbs.h"
#include "tools/train/training_verb.h"

namespace fastclip {

/// fastclip adapt CONFIG.toml [section.key=value …], or a verb on adapters.
int RunAdapt(int argc, const char* const* argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (const Command* verb = FindCommand(AdaptVerbs(), first)) return verb->run(argc - 1, argv + 1);
  if (const std::string near = NearCommand(AdaptVerbs(), first);
      !near.empty() && !std::filesystem::exists(first)) {
    throw UsageError(fmt::format("'{}' is neither a config nor a verb; {}{} lists the verbs",
                                 Printable(first), near, SuggestedCommand("adapt --help")));
  }
  return RunTraining(
      {.name = "adapt",
       .about =
           "Fine-tunes a trained CLIP model: trains the tuners of [adapt] and freezes the rest",
       .examples =
           "example: fastclip adapt configs/adapt/lora.toml model.pretrained=clip.safetensors\n"
           "         fastclip adapt configs/adapt/lora.toml --dry-run\n\n"
           "Verbs on adapters, each with fastclip adapt VERB --help:\n" +
           ListCommands(AdaptVerbs()),
       .needs_tuners = true},
      argc, argv);
}

}  // namespace fastclip
