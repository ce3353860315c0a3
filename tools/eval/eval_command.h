#pragma once

namespace fastclip {

/// `fastclip eval retrieval|zeroshot|linear`: what a trained model is worth on data that it has not
/// seen.
int RunEval(int argc, const char* const* argv);

}  // namespace fastclip
