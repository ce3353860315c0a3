#!/usr/bin/env bash
# A folder includes only from itself and from folders before it, heavy headers stay out of headers, and files and
# folders stay small.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
complain() { if [ -n "$2" ]; then printf '%s:\n%s\n' "$1" "$2"; bad=1; fi; }
includes() { grep -rnE "^#include \"($2)/" "$1" --include='*.h' --include='*.cc' || true; }

# pipeline/base and pipeline/files are the ground that every folder stands on.
above_ground() { includes "$1" "$2" | grep -vE '"pipeline/(base|files)/' || true; }
complain 'tokenizer/ knows the ground alone' "$(above_ground tokenizer 'pipeline|comm|trainer|tools|tests')"
complain 'pipeline/ knows tokenizer/ alone' "$(includes pipeline 'comm|trainer|tools|tests')"
complain 'the ground knows nobody' "$(includes pipeline/base 'tokenizer'; includes pipeline/files 'tokenizer')"
complain 'comm/ knows the ground alone' "$(above_ground comm 'tokenizer|pipeline|trainer|tools|tests')"
complain 'trainer/ knows nothing of tools/' "$(includes trainer 'tools|tests')"
complain 'tools/ knows nothing of tests/' "$(includes tools 'tests')"

# The rooms of a folder, in the order in which data flow through them: a room includes from those before it.
rooms_in_order() {
  local folder=$1 later
  shift
  complain "$folder/ has a room that tests/check_includes.sh does not know" \
    "$(find "$folder" -mindepth 2 -maxdepth 2 -name '*.cc' -printf '%h\n' | sort -u | xargs -n1 basename | grep -vxF "$(printf '%s\n' "$@")" || true)"
  while [ $# -gt 1 ]; do
    later=$(printf "|$folder/%s" "${@:2}")
    complain "$folder/$1/ knows no room after it" "$(includes "$folder/$1" "${later#|}")"
    shift
  done
}
rooms_in_order pipeline base files records pixels shards sources order loader convert
rooms_in_order tools cli data bench eval train gpu
rooms_in_order trainer base model adapt optim objective config step state adapters eval log run

complain 'no torch in tokenizer/ and pipeline/' \
  "$(grep -rnE '#include <(ATen|torch|c10)/' tokenizer pipeline || true)"
complain 'heavy headers in a header (20-30 s for each file that includes it)' \
  "$(grep -rnE '#include <(torch/torch.h|ATen/ATen.h|c10d|torch/csrc)' --include='*.h' comm trainer tools || true)"
complain 'TBB belongs to compute_pool' \
  "$(grep -rlE '#include <(oneapi/)?tbb/' --include='*.h' --include='*.cc' tokenizer pipeline comm trainer tools |
     grep -vE '^pipeline/loader/compute_pool' || true)"

# Of the code: a long file has a second thought, a full folder a second room. Of config_keys.cc the most is one table.
mapfile -t sources < <(find pipeline tokenizer trainer comm tools -name '*.h' -o -name '*.cc')
complain 'more than 350 lines; split the file' \
  "$(wc -l "${sources[@]}" | awk '$1 > 350 && $2 != "total" && $2 != "trainer/config/config_keys.cc"')"
complain 'more than 40 sources in a folder; divide it' \
  "$(dirname "${sources[@]}" | sort | uniq -c | awk '$1 > 40')"
[ "$bad" = 0 ] && echo 'the folders include what they may'
exit "$bad"
