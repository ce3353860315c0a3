#pragma once

namespace fastclip {

/// Whether this build has LibTorch.
extern const bool kHasTorch;

/// The commands that need LibTorch (torch_commands.cc). In a build without it each throws
/// UsageError, which says so (no_torch_commands.cc).
int TrainCommand(int argc, const char* const* argv);
int EstimatorsCommand(int argc, const char* const* argv);
int EvalCommand(int argc, const char* const* argv);
int BenchStepCommand(int argc, const char* const* argv);
int BenchObjectiveCommand(int argc, const char* const* argv);

}  // namespace fastclip
