#pragma once

namespace fastclip {

/// `fastclip bench WHAT …`: measures a part of the house. What there is is a table in the .cc.
int RunBench(int argc, const char* const* argv);

}  // namespace fastclip
