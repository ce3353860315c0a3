#include <array>

#include "tools/command.h"
#include "tools/usage_error.h"

namespace fastclip {
namespace {

int NotBuilt(int, const char* const* argv) {
  throw UsageError(std::string("this binary was built with -DFASTCLIP_TRAINER=OFF and has no '") +
                   argv[0] + "'; build with tools/setup.sh and cmake --preset release");
}

constexpr const char* kSummary = "needs LibTorch: left out of this build";
const std::array kCommands = {Command{"train", kSummary, NotBuilt},
                              Command{"eval", kSummary, NotBuilt}};
const std::array kBenches = {Command{"step", kSummary, NotBuilt}};

}  // namespace

std::span<const Command> TrainerCommands() { return kCommands; }
std::span<const Command> TrainerBenches() { return kBenches; }

}  // namespace fastclip
