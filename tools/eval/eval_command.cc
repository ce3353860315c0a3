#include "tools/cli/command.h"

namespace fastclip {

// Each is defined in the file of its name.
int RunEvalRetrieval(int argc, const char* const* argv);
int RunEvalZeroShot(int argc, const char* const* argv);
int RunEvalLinear(int argc, const char* const* argv);
namespace {

const Command kVerbs[] = {
    {"retrieval", "R@1, R@5, R@10: pictures find their captions, captions their pictures",
     RunEvalRetrieval},
    {"zeroshot", "top-1, top-5: pictures find the names of their classes", RunEvalZeroShot},
    {"linear", "top-1, top-5 of a linear classifier trained on the features", RunEvalLinear},
};

}  // namespace

/// `fastclip eval retrieval|zeroshot|linear`: what a trained model is worth on data that it has not
/// seen.
int RunEval(int argc, const char* const* argv) {
  return RunVerb("eval", kVerbs, "Evaluates a trained model on data that it has not seen.",
                 "fastclip eval retrieval runs/quickstart --shards 'heldout/*.tar' --json", argc,
                 argv);
}

}  // namespace fastclip
