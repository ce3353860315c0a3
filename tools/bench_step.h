#pragma once

namespace fastclip {

/// `fastclip bench step CONFIG …`: whole training steps of a config on synthetic pictures and
/// captions.
int RunBenchStep(int argc, const char* const* argv);

}  // namespace fastclip
