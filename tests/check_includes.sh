#!/usr/bin/env bash
# A folder includes only from itself and from folders before it, and heavy headers stay out of headers.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
complain() { if [ -n "$2" ]; then printf '%s:\n%s\n' "$1" "$2"; bad=1; fi; }
includes() { grep -rnE "^#include \"($2)/" "$1" --include='*.h' --include='*.cc' || true; }

complain 'tokenizer/ knows nobody' "$(includes tokenizer 'pipeline|comm|trainer|tools|tests')"
complain 'pipeline/ knows tokenizer/ alone' "$(includes pipeline 'comm|trainer|tools|tests')"
complain 'comm/ knows nobody' "$(includes comm 'tokenizer|pipeline|trainer|tools|tests')"
complain 'trainer/ knows nothing of tools/' "$(includes trainer 'tools|tests')"
complain 'tools/ knows nothing of tests/' "$(includes tools 'tests')"
complain 'no torch in tokenizer/ and pipeline/' \
  "$(grep -rnE '#include <(ATen|torch|c10)/' tokenizer pipeline || true)"
complain 'heavy headers in a header (20-30 s for each file that includes it)' \
  "$(grep -rnE '#include <(torch/torch.h|ATen/ATen.h|c10d|torch/csrc)' --include='*.h' comm trainer tools || true)"
complain 'TBB belongs to compute_pool' \
  "$(grep -rlE '#include <(oneapi/)?tbb/' --include='*.h' --include='*.cc' tokenizer pipeline comm trainer tools |
     grep -vE '^pipeline/compute_pool' || true)"
[ "$bad" = 0 ] && echo 'the folders include what they may'
exit "$bad"
