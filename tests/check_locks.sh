#!/usr/bin/env bash
# Clang's thread-safety analysis of pipeline/ and tokenizer/: what a mutex guards is used only while it is held.
# A planted access without the lock must fail. .ci/run calls it; it takes two cores a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

clang=$(command -v clang++-14 || command -v clang++ || true)
[ -n "$clang" ] || { echo 'no clang++ here: tools/setup.sh --clang installs it' >&2; exit 2; }

others=$(grep -rnE 'std::((recursive_|shared_)?(timed_)?mutex|condition_variable(_any)?|call_once|once_flag|lock_guard|unique_lock|shared_lock|scoped_lock)\b' \
  pipeline tokenizer --include='*.h' --include='*.cc' | grep -v '^pipeline/base/mutex\.h:' || true)
[ -z "$others" ] || { printf 'locks that the analysis does not know; use pipeline/base/mutex.h:\n%s\n' "$others"; exit 1; }

analyse() {
  "$clang" -std=c++20 -fsyntax-only -I. -Wno-everything -Werror=thread-safety "$1"
}
export -f analyse
export clang

# All sources, since the fuzzers are built with clang too.
sources=$(find pipeline tokenizer tests/fuzz -name '*.cc')
xargs -P "$(nproc)" -I{} bash -c 'analyse {}' <<<"$sources" || { echo 'a lock is not held where it must be, or a source does not compile: see above'; exit 1; }

planted=$(mktemp --suffix=.cc)
trap 'rm -f "$planted"' EXIT
cat >"$planted" <<'CODE'
#include "pipeline/base/mutex.h"
struct Counter {
  void Add() { ++count; }
  fastclip::Mutex mutex;
  int count FASTCLIP_GUARDED_BY(mutex) = 0;
};
CODE
said=$(analyse "$planted" 2>&1 || true)
if ! grep -q 'requires holding mutex' <<<"$said"; then
  echo 'the analysis lets an access without the lock pass'
  exit 1
fi
echo "$(wc -l <<<"$sources") sources hold their locks"
