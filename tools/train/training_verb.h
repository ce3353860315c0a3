#pragma once

#include <string>

namespace fastclip {

/// A command that trains from a config.
struct TrainingVerb {
  std::string name;      ///< "train"
  std::string about;     ///< what it does, without a full stop
  std::string examples;  ///< the last lines of its help
  bool needs_tuners = false;
};

int RunTraining(const TrainingVerb& verb, int argc, const char* const* argv);

}  // namespace fastclip
