#include "pipeline/base/suggested_command.h"

#include <cstddef>

namespace fastclip {
namespace {

constexpr std::string_view kName = "fastclip";

std::string& Program() {
  static std::string program(kName);
  return program;
}

/// Whether the name at `at` is that of a command: a word for itself, before its arguments.
bool BeginsCommand(std::string_view text, std::size_t at) {
  constexpr std::string_view kBefore = " \n`(";
  if (at > 0 && kBefore.find(text[at - 1]) == kBefore.npos) return false;
  const std::string_view rest = text.substr(at + kName.size());
  if (rest.size() < 2 || rest[0] != ' ') return false;
  const char next = rest[1];  // of "train", "--help", "COMMAND"
  return (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || next == '-';
}

}  // namespace

void SetProgramTyped(std::string_view argv0) {
  Program() = argv0.find('/') != argv0.npos ? argv0 : kName;
}

const std::string& ProgramName() { return Program(); }

std::string ProgramTyped() { return ShellWord(Program()); }

std::string SuggestedCommand(std::string_view words) {
  return ProgramTyped() + " " + std::string(words);
}

std::string WithProgramTyped(std::string_view text) {
  std::string typed;
  std::size_t done = 0;
  for (std::size_t at = text.find(kName); at != text.npos; at = text.find(kName, at + 1)) {
    if (!BeginsCommand(text, at)) continue;
    typed.append(text, done, at - done).append(ProgramTyped());
    done = at + kName.size();
  }
  return typed.append(text, done);
}

std::string ShellWord(const std::string& word) {
  constexpr std::string_view kSpecial = " \t\n*?[]{}()<>|&;$\"'`\\!#~";
  if (!word.empty() && word.find_first_of(kSpecial) == word.npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace fastclip
