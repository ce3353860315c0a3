#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace fastclip {

/// Prints warnings, progress and errors to standard error. Unlike fmt::print it does not throw if
/// the write fails (a full disk, a closed pipe): the command continues. Results go to stdout by
/// fmt::print, whose failure ends the command (main.cc).
template <class... Arguments>
void Tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace fastclip
