#pragma once

namespace fastclip {

/// `fastclip eval linear`: how often a linear classifier on frozen features is right.
int RunEvalLinear(int argc, const char* const* argv);

}  // namespace fastclip
