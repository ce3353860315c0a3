#pragma once

namespace fastclip {

/// `fastclip eval retrieval`: how well a trained model finds captions by picture and pictures by
/// caption.
int RunEvalRetrieval(int argc, const char* const* argv);

}  // namespace fastclip
