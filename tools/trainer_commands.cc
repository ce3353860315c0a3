#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "tools/bench_objective.h"
#include "tools/bench_step.h"
#include "tools/command.h"
#include "tools/estimators_command.h"
#include "tools/eval_command.h"
#include "tools/train_command.h"
#include "tools/usage_error.h"
#include "trainer/config_table.h"

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

const std::array kCommands = {
    Command{"train", "train a model from a config; resume, stop and go on", Guarded<RunTrain>},
    Command{"estimators", "the per-sample state of a run: shown, exported", Guarded<RunEstimators>},
    Command{"eval", "retrieval, zero-shot and linear-probe figures of a trained model",
            Guarded<RunEval>},
};
const std::array kBenches = {
    Command{"step", "samples/s and memory of whole training steps", Guarded<RunBenchStep>},
    Command{"objective", "loss and feature gradients alone, against their matrix products",
            Guarded<RunBenchObjective>},
};

}  // namespace

std::span<const Command> TrainerCommands() { return kCommands; }
std::span<const Command> TrainerBenches() { return kBenches; }

}  // namespace fastclip
