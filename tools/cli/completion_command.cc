#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tools/cli/cli.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

// Commands, verbs and options are read from --help, keys from `config keys`: the script need not
// change when they do.
constexpr std::string_view kBash =
    R"(# Completion of fastclip's commands, verbs, options and config keys.
_fastclip_ask() { "$_fastclip_program" "$@" 2>/dev/null </dev/null; }
_fastclip_verbs() { _fastclip_ask "$@" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p'; }
_fastclip() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words verbs
  local _fastclip_program=${COMP_WORDS[0]/#\~/$HOME}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    words="$(_fastclip_verbs) --help --version"
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    return
  fi
  case $command in
    shards|eval|bench|config|estimators|tokenizer|completion) verbs=$(_fastclip_verbs "$command") ;;
  esac
  if [ -n "$verbs" ] && [ "$COMP_CWORD" = 2 ]; then
    COMPREPLY=($(compgen -W "$verbs --help" -- "$word"))
    return
  fi
  local asked=("$command")
  [ -z "$verbs" ] || asked+=("${COMP_WORDS[2]}")
  if [[ $word == -* ]]; then
    words=$(_fastclip_ask "${asked[@]}" --help | grep -oE -e '--[a-z][a-z-]*' | sort -u)
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    return
  fi
  if [ "$command" = train ] || [ "$command ${COMP_WORDS[2]}" = 'config check' ]; then
    words=$(_fastclip_ask config keys | grep -oE '^[a-z_]+(\.[a-z0-9_]+)?')
    COMPREPLY=($(compgen -S = -W "$words" -- "$word"))
    [ ${#COMPREPLY[@]} = 0 ] || compopt -o nospace 2>/dev/null
  fi
  compopt -o filenames 2>/dev/null
  COMPREPLY+=($(compgen -f -- "$word"))
}
complete -F _fastclip fastclip
)";

constexpr std::string_view kZsh =
    R"zsh(# Completion of fastclip's commands, verbs, options and config keys.
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_fastclip_ask() { "$_fastclip_program" "$@" 2>/dev/null </dev/null; }
_fastclip_verbs() { _fastclip_ask "$@" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p'; }
_fastclip() {
  local _fastclip_program=${words[1]/#\~/$HOME} command=$words[2]
  local -a found asked
  if (( CURRENT == 2 )); then
    found=(${(f)"$(_fastclip_verbs)"} --help --version)
    compadd -- $found
    return
  fi
  asked=($command)
  case $command in
    shards|eval|bench|config|estimators|tokenizer|completion)
      if (( CURRENT == 3 )); then
        found=(${(f)"$(_fastclip_verbs $command)"} --help)
        compadd -- $found
        return
      fi
      asked+=($words[3]) ;;
  esac
  if [[ $PREFIX == -* ]]; then
    found=(${(uf)"$(_fastclip_ask $asked --help | grep -oE -e '--[a-z][a-z-]*')"})
    compadd -- $found
    return
  fi
  if [[ $command == train || "$command $words[3]" == 'config check' ]]; then
    if compset -P '*='; then
      _files
      return
    fi
    found=(${(f)"$(_fastclip_ask config keys | grep -oE '^[a-z_]+(\.[a-z0-9_]+)?')"})
    compadd -S = -- $found
  fi
  _files
}
compdef _fastclip fastclip
)zsh";

constexpr std::string_view kFish =
    R"(# Completion of fastclip's commands, verbs, options and config keys.
function __fastclip_verbs
  set -l program (commandline -opc)[1]
  $program $argv --help 2>/dev/null | string replace -rf '^  ([a-z]+)  *[^ ].*' '$1'
end
function __fastclip_words
  set -l words (commandline -opc)[2..-1]
  set -l program (commandline -opc)[1]
  if test (count $words) = 0
    __fastclip_verbs
  else if contains -- $words[1] shards eval bench config estimators tokenizer completion; and test (count $words) = 1
    __fastclip_verbs $words[1]
  else if string match -q -- '-*' (commandline -ct)
    $program $words[1..2] --help 2>/dev/null | string match -ra -- '--[a-z][a-z-]*' | sort -u
  else if test "$words[1]" = train; or test "$words[1..2]" = 'config check'
    $program config keys 2>/dev/null | string match -r '^[a-z_]+(?:\.[a-z0-9_]+)?' | string replace -r '$' =
  end
end
complete -c fastclip -n 'test (count (commandline -opc)) = 1' -f
complete -c fastclip -a '(__fastclip_words)'
)";

}  // namespace

/// `fastclip completion SHELL`: the script that teaches a shell this program's words.
int RunCompletion(int argc, const char* const* argv) {
  CLI::App app(
      "Prints a script that completes commands, options and config keys in a shell.\n"
      "  bash   source <(fastclip completion bash)          in ~/.bashrc\n"
      "  zsh    source <(fastclip completion zsh)           in ~/.zshrc\n"
      "  fish   fastclip completion fish | source           in ~/.config/fish/config.fish",
      "fastclip completion");
  std::string shell;
  app.add_option("SHELL", shell, "bash, zsh or fish")->required();
  app.footer("example: source <(fastclip completion bash)");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (shell == "bash") {
    fmt::print("{}", kBash);
  } else if (shell == "zsh") {
    fmt::print("{}", kZsh);
  } else if (shell == "fish") {
    fmt::print("{}", kFish);
  } else {
    throw UsageError(fmt::format("unknown shell '{}'; use bash, zsh or fish", shell));
  }
  return 0;
}

}  // namespace fastclip
