#pragma once

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/trainer/training_fixture.h"

namespace fastclip {

/// Runs in which some calls of the C library fail (tests/support/fault.cc).
class Faults : public Training {
 protected:
  /// From here on programs start with the fault.
  static void Plan(const std::string& fault) {
    setenv("LD_PRELOAD", FASTCLIP_FAULT_LIBRARY, 1);
    setenv("FAULT", fault.c_str(), 1);
  }
  static void Unplan() {
    unsetenv("LD_PRELOAD");
    unsetenv("FAULT");
  }
  int RunWith(const std::string& fault, const std::vector<std::string>& words) {
    Plan(fault);
    const int code = Run(words);
    Unplan();
    return code;
  }
  /// The step that the message names as saved.
  int SavedStep() {
    const std::string mark = " is saved: continue with ";
    const std::size_t end = errors_.find(mark);
    EXPECT_NE(end, std::string::npos) << errors_;
    if (end == std::string::npos) return -1;
    return std::stoi(errors_.substr(errors_.rfind("; step ", end) + 7));
  }
  static std::string Full(const std::string& part, int after) {
    return "write " + part + " " + std::to_string(after) + " " + std::to_string(ENOSPC);
  }
};

}  // namespace fastclip
