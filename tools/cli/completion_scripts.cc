#include "tools/cli/completion_scripts.h"

namespace fastclip {
namespace {

// Commands, verbs, options and their values are read from --help, keys and theirs from `config
// keys`: the script need not change when they do.

/// Of bash and zsh.
constexpr const char* kShellFunctions =
    R"(# Completion of fastclip's commands, verbs, options, config keys and their values.
_fastclip_ask() { "$_fastclip_program" "$@" 2>/dev/null </dev/null; }
_fastclip_verbs() { _fastclip_ask "$@" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p'; }
_fastclip_values() { # NAME COMMAND…: the fixed values of an option or key
  case $1 in
    --*) _fastclip_ask "${@:2}" --help | sed -n "s/^  *$1 [^ ]*:{\([^}]*\)}.*/\1/p" | tr , '\n' ;;
    *) _fastclip_ask config keys --values "$1" ;;
  esac
}
)";

}  // namespace

const std::string kBashCompletion = std::string(kShellFunctions) + R"(_fastclip() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words verbs name= before=
  local _fastclip_program=${COMP_WORDS[0]/#\~/$HOME}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    words="$(_fastclip_verbs) --help --version"
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    return
  fi
  case $command in
    adapt|shards|eval|bench|config|estimators|tokenizer|completion) verbs=$(_fastclip_verbs "$command") ;;
  esac
  if [ -n "$verbs" ] && [ "$COMP_CWORD" = 2 ]; then
    COMPREPLY=($(compgen -W "$verbs --help" -- "$word"))
    [ "$command" != adapt ] || COMPREPLY+=($(compgen -f -- "$word"))  # or a config
    return
  fi
  local asked=("$command") previous=${COMP_WORDS[COMP_CWORD-1]}
  [ -z "$verbs" ] || asked+=("${COMP_WORDS[2]}")
  # NAME=VALUE is three words where = breaks words, as by default.
  if [ "$word" = = ]; then
    name=$previous word=
  elif [ "$previous" = = ]; then
    name=${COMP_WORDS[COMP_CWORD-2]}
  elif [[ $word == ?*=* ]]; then
    name=${word%%=*} word=${word#*=} before=$name=
  fi
  if [[ -n $name || $previous == --?* ]]; then
    words=$(_fastclip_values "${name:-$previous}" "${asked[@]}")
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "$word"))
    [ -z "$words" ] || return
  fi
  if [[ $word == -* ]]; then
    words=$(_fastclip_ask "${asked[@]}" --help | grep -oE -e '--[a-z][a-z-]*' | sort -u)
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    return
  fi
  if [ -z "$name" ] && _fastclip_ask "${asked[@]}" --help | grep -q '^  OVERRIDES'; then
    words=$(_fastclip_ask config keys | grep -oE '^[a-z_]+(\.[a-z0-9_]+)?')
    COMPREPLY=($(compgen -S = -W "$words" -- "$word"))
  fi
  # As file names keys would be quoted: train.epochs\=
  [ ${#COMPREPLY[@]} = 0 ] && compopt -o filenames 2>/dev/null || compopt -o nospace 2>/dev/null
  COMPREPLY+=($(compgen -P "$before" -f -- "$word"))
}
complete -F _fastclip fastclip
)";

const std::string kZshCompletion =
    std::string(kShellFunctions) +
    R"zsh((( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_fastclip() {
  local _fastclip_program=${words[1]/#\~/$HOME} command=$words[2] name=
  local -a found asked
  if (( CURRENT == 2 )); then
    found=(${(f)"$(_fastclip_verbs)"} --help --version)
    compadd -- $found
    return
  fi
  asked=($command)
  case $command in
    adapt|shards|eval|bench|config|estimators|tokenizer|completion)
      if (( CURRENT == 3 )); then
        found=(${(f)"$(_fastclip_verbs $command)"} --help)
        compadd -- $found
        [[ $command != adapt ]] || _files  # or a config
        return
      fi
      asked+=($words[3]) ;;
  esac
  if [[ $PREFIX == ?*=* ]]; then
    name=${PREFIX%%=*}
    compset -P '*='
  fi
  if [[ -n $name || $words[CURRENT-1] == --?* ]]; then
    found=(${(f)"$(_fastclip_values ${name:-$words[CURRENT-1]} $asked)"})
    if (( $#found )); then
      compadd -- $found
      return
    fi
  fi
  if [[ $PREFIX == -* ]]; then
    found=(${(uf)"$(_fastclip_ask $asked --help | grep -oE -e '--[a-z][a-z-]*')"})
    compadd -- $found
    return
  fi
  if [[ -z $name ]] && _fastclip_ask $asked --help | grep -q '^  OVERRIDES'; then
    found=(${(f)"$(_fastclip_ask config keys | grep -oE '^[a-z_]+(\.[a-z0-9_]+)?')"})
    compadd -S = -- $found
  fi
  _files
}
compdef _fastclip fastclip
)zsh";

const std::string kFishCompletion =
    R"(# Completion of fastclip's commands, verbs, options, config keys and their values.
function __fastclip_verbs
  set -l program (commandline -opc)[1]
  $program $argv --help 2>/dev/null | string replace -rf '^  ([a-z]+)  *[^ ].*' '$1'
end
function __fastclip_values # NAME COMMAND…: the fixed values of an option or key
  set -l program (commandline -opc)[1]
  if string match -q -- '--*' $argv[1]
    $program $argv[2..-1] --help 2>/dev/null | string replace -rf "^ *$argv[1] \S*:\{([^}]*)\}.*" '$1' | string split ,
  else
    $program config keys --values $argv[1] 2>/dev/null
  end
end
function __fastclip_words
  set -l words (commandline -opc)[2..-1]
  set -l program (commandline -opc)[1]
  set -l word (commandline -ct)
  set -l asked $words[1]
  if test (count $words) = 0
    __fastclip_verbs
    return
  end
  if contains -- $words[1] shards eval bench config estimators tokenizer completion
    if test (count $words) = 1
      __fastclip_verbs $words[1]
      return
    end
    set asked $words[1..2]
  end
  if string match -q -r -- '^[^=]+=' $word
    set -l name (string split -m 1 = -- $word)[1]
    __fastclip_values $name $asked | string replace -r -- '^' "$name="
  else if string match -q -- '--*' $words[-1]; and set -l values (__fastclip_values $words[-1] $asked); and test -n "$values"
    string join \n -- $values
  else if string match -q -- '-*' $word
    $program $asked --help 2>/dev/null | string match -ra -- '--[a-z][a-z-]*' | sort -u
  else if $program $asked --help 2>/dev/null | string match -q -r '^  OVERRIDES'
    $program config keys 2>/dev/null | string match -r '^[a-z_]+(?:\.[a-z0-9_]+)?' | string replace -r '$' =
  end
end
complete -c fastclip -n 'test (count (commandline -opc)) = 1' -f
complete -c fastclip -a '(__fastclip_words)'
)";

}  // namespace fastclip
