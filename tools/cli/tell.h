#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace fastclip {

/// Prints to standard error what is not a command's result: warnings, progress, errors. Unlike
/// fmt::print it does not throw where that cannot be written (a full disk, a closed pipe): the work
/// goes on. Results go to stdout by fmt::print, whose failure ends the command (main.cc).
template <class... Arguments>
void Tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace fastclip
