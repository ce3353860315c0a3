#include "tools/eval/eval_command.h"

#include "tools/cli/command.h"
#include "tools/eval/eval_linear.h"
#include "tools/eval/eval_retrieval.h"
#include "tools/eval/eval_zeroshot.h"

namespace fastclip {
namespace {

const Command kVerbs[] = {
    {"retrieval", "R@1, R@5, R@10: pictures find their captions, captions their pictures",
     RunEvalRetrieval},
    {"zeroshot", "top-1, top-5: pictures find the names of their classes", RunEvalZeroShot},
    {"linear", "top-1, top-5 of a linear classifier trained on the features", RunEvalLinear},
};

}  // namespace

int RunEval(int argc, const char* const* argv) {
  return RunVerb("eval", kVerbs, "Evaluates a trained model on data that it has not seen.",
                 "fastclip eval retrieval runs/quickstart --shards 'heldout/*.tar' --json", argc,
                 argv);
}

}  // namespace fastclip
