#include "tools/torch_commands.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "tools/bench/bench_objective.h"
#include "tools/bench/bench_step.h"
#include "tools/cli/usage_error.h"
#include "tools/eval/eval_command.h"
#include "tools/train/estimators_command.h"
#include "tools/train/train_command.h"
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

/// What all commands here have in common: a config that cannot be used is wrong use, and every
/// error is one line.
template <int (*kRun)(int, const char* const*)>
int Guarded(int argc, const char* const* argv) {
  try {
    return kRun(argc, argv);
  } catch (const ConfigError& error) {
    throw UsageError(error.what());
  } catch (const c10::Error& error) {
    throw std::runtime_error(OneLine(error));
  }
}

}  // namespace

const bool kHasTorch = true;

int TrainCommand(int argc, const char* const* argv) { return Guarded<RunTrain>(argc, argv); }
int EstimatorsCommand(int argc, const char* const* argv) {
  return Guarded<RunEstimators>(argc, argv);
}
int EvalCommand(int argc, const char* const* argv) { return Guarded<RunEval>(argc, argv); }
int BenchStepCommand(int argc, const char* const* argv) {
  return Guarded<RunBenchStep>(argc, argv);
}
int BenchObjectiveCommand(int argc, const char* const* argv) {
  return Guarded<RunBenchObjective>(argc, argv);
}

}  // namespace fastclip
