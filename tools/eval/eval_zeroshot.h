#pragma once

namespace fastclip {

/// `fastclip eval zeroshot`: how often the name of a picture's class is the nearest to it.
int RunEvalZeroShot(int argc, const char* const* argv);

}  // namespace fastclip
