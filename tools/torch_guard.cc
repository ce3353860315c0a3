#include "tools/torch_guard.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "tools/cli/command.h"
#include "tools/cli/usage_error.h"
#include "trainer/base/config_table.h"

namespace fastclip {
namespace {

/// LibTorch's what() is a page: the reason, then where in its source it arose.
std::string OneLine(const c10::Error& error) {
  std::string reason = error.what_without_backtrace();
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  const bool out_of_memory = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                             reason.find("allocate memory") != std::string::npos ||
                             reason.find("not enough memory") != std::string::npos;
  if (out_of_memory) reason += "; lower train.batch_size or raise train.micro_batches";
  return reason;
}

}  // namespace

int RunGuarded(const Command& command, int argc, const char* const* argv) {
  try {
    return command.run(argc, argv);
  } catch (const ConfigError& error) {
    throw UsageError(error.what());
  } catch (const c10::Error& error) {
    throw std::runtime_error(OneLine(error));
  }
}

}  // namespace fastclip
