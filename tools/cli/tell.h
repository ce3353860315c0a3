#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/console.h"

namespace fastclip {

/// Prints warnings, progress and errors to standard error. Unlike fmt::print it does not throw if
/// the write fails (a full disk, a closed pipe): the command continues. Results go to stdout by
/// fmt::print, whose failure ends the command (main.cc).
template <class... Arguments>
void Tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

/// The same for an error: red up to its first ": " where colours are wanted.
template <class... Arguments>
void TellError(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  if (const auto colon = text.find(": "); colon != text.npos && ColoursWanted(STDERR_FILENO)) {
    text = "\033[31m" + text.substr(0, colon + 1) + "\033[0m" + text.substr(colon + 1);
  }
  std::fwrite(text.data(), 1, text.size(), stderr);
}

inline void TellWarning(const std::string& text) { Tell("warning: {}\n", text); }

/// Names the checkpoints that a command did not use, and why.
inline void TellSkipped(const std::vector<std::string>& checkpoints) {
  for (const std::string& reason : checkpoints) Tell("skipped a damaged checkpoint: {}\n", reason);
}

}  // namespace fastclip
