#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// How this program was started, argv[0]. main() tells it, before there are threads; without that
/// the program is "fastclip".
void SetProgramTyped(std::string_view argv0);
/// The path that the program was started by, if that has a slash; else "fastclip".
const std::string& ProgramName();
/// The same for a shell.
std::string ProgramTyped();

/// A command of this program for a message to suggest: "build/fastclip shards lint" for
/// "shards lint".
std::string SuggestedCommand(std::string_view words);
/// A text of ours, such as a command's help, with the program as it is typed in each command.
std::string WithProgramTyped(std::string_view text);

/// `word` for a shell: in quotes where it needs them.
std::string ShellWord(const std::string& word);

}  // namespace fastclip
