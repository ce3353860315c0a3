#include "tools/eval_command.h"

#include <fmt/format.h>

#include <string_view>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/eval_linear.h"
#include "tools/eval_retrieval.h"
#include "tools/eval_zeroshot.h"
#include "tools/usage_error.h"

namespace fastclip {
namespace {

const Command kVerbs[] = {
    {"retrieval", "R@1, R@5, R@10: pictures find their captions, captions their pictures",
     RunEvalRetrieval},
    {"zeroshot", "top-1, top-5: pictures find the names of their classes", RunEvalZeroShot},
    {"linear", "top-1, top-5 of a linear classifier trained on the features", RunEvalLinear},
};

void PrintVerbs() {
  fmt::print(
      "Evaluates a trained model on data that it has not seen.\n"
      "usage: fastclip eval VERB …        fastclip eval VERB --help tells more\n\n");
  for (const Command& verb : kVerbs) fmt::print("  {:<10} {}\n", verb.name, verb.summary);
  fmt::print(
      "\nexample: fastclip eval retrieval runs/quickstart --shards 'heldout/*.tar' --json\n");
}

}  // namespace

int RunEval(int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h") {
    PrintVerbs();
    return argc > 1 ? 0 : 2;
  }
  for (const Command& verb : kVerbs) {
    if (verb.name == name) return verb.run(argc - 1, argv + 1);
  }
  throw UsageError(fmt::format("there is no '{}'; fastclip eval --help lists what there is", name));
}

}  // namespace fastclip
