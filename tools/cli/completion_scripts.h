#pragma once

#include <string>

namespace fastclip {

/// Scripts that teach a shell to complete this program's commands, options and keys, with the
/// values of those that have fixed ones. They ask the program, so a new command or key needs no
/// change.
extern const std::string kBashCompletion;
extern const std::string kZshCompletion;
extern const std::string kFishCompletion;

}  // namespace fastclip
