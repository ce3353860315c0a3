#pragma once

namespace fastclip {

/// `fastclip estimators show|export …`: the per-sample state of a checkpoint.
int RunEstimators(int argc, const char* const* argv);

}  // namespace fastclip
