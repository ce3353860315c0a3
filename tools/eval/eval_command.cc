#include "tools/cli/command.h"

namespace fastclip {

// Each is defined in the file of its name.
int RunEvalRetrieval(int argc, const char* const* argv);
int RunEvalZeroShot(int argc, const char* const* argv);
int RunEvalLinear(int argc, const char* const* argv);
int RunEvalClassify(int argc, const char* const* argv);
namespace {

const Command kVerbs[] = {
    {"retrieval", "R@1, R@5, R@10 of image-to-text and text-to-image retrieval", RunEvalRetrieval},
    {"zeroshot", "top-1, top-5 of zero-shot classification", RunEvalZeroShot},
    {"linear", "top-1, top-5 of a linear classifier trained on image features", RunEvalLinear},
    {"classify", "top-1, top-5 of the class head of an adapter", RunEvalClassify},
};

}  // namespace

/// `fastclip eval retrieval|zeroshot|linear|classify`: evaluates a trained model on held-out data.
int RunEval(int argc, const char* const* argv) {
  return RunVerb(
      "eval", kVerbs, "Evaluates a trained model on held-out data.",
      "fastclip eval retrieval runs/quickstart --shards 'build/quickstart/heldout/*.tar'", argc,
      argv);
}

}  // namespace fastclip
