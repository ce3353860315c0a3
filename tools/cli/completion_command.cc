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

constexpr std::string_view kZshHead = R"(autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
)";

constexpr std::string_view kFish =
    R"(# Completion of fastclip's commands, verbs, options and config keys.
function __fastclip_verbs
  fastclip $argv --help 2>/dev/null | string replace -rf '^  ([a-z]+)  *[^ ].*' '$1'
end
function __fastclip_words
  set -l words (commandline -opc)[2..-1]
  if test (count $words) = 0
    __fastclip_verbs
  else if contains -- $words[1] shards eval bench config estimators tokenizer completion; and test (count $words) = 1
    __fastclip_verbs $words[1]
  else if string match -q -- '-*' (commandline -ct)
    fastclip $words[1..2] --help 2>/dev/null | string match -ra -- '--[a-z][a-z-]*' | sort -u
  else if test "$words[1]" = train; or test "$words[1..2]" = 'config check'
    fastclip config keys 2>/dev/null | string match -r '^[a-z_]+(?:\.[a-z0-9_]+)?' | string replace -r '$' =
  end
end
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
    fmt::print("{}{}", kZshHead, kBash);
  } else if (shell == "fish") {
    fmt::print("{}", kFish);
  } else {
    throw UsageError(fmt::format("unknown shell '{}'; use bash, zsh or fish", shell));
  }
  return 0;
}

}  // namespace fastclip
