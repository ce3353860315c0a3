#include <string>

#include "tools/cli/usage_error.h"
#include "tools/torch_commands.h"

namespace fastclip {
namespace {

[[noreturn]] int NotBuilt(const char* name) {
  throw UsageError(std::string("this binary was built with -DFASTCLIP_TRAINER=OFF and has no '") +
                   name + "'; build with tools/setup.sh and cmake --preset release");
}

}  // namespace

const bool kHasTorch = false;

int TrainCommand(int, const char* const* argv) { NotBuilt(argv[0]); }
int EstimatorsCommand(int, const char* const* argv) { NotBuilt(argv[0]); }
int EvalCommand(int, const char* const* argv) { NotBuilt(argv[0]); }
int BenchStepCommand(int, const char* const* argv) { NotBuilt(argv[0]); }
int BenchObjectiveCommand(int, const char* const* argv) { NotBuilt(argv[0]); }

}  // namespace fastclip
