#!/usr/bin/env bash
# Fuzzes what reads bytes from outside, under ASan and UBSan. What it finds is written to build/fuzz/found/; a file
# that is put among tests/fuzz/seeds/TARGET is tried by every build's tests from then on.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=(tar manifest jpeg png webp image table tokenizer)
usage() {
  cat <<TEXT
usage: tools/fuzz.sh [--seconds N] [TARGET …]
  --seconds N  for each target (900)
  TARGET       of ${targets[*]}; default: all, one after the other;
               jpeg, png and webp begin with pictures of that kind alone, image with all kinds
example: tools/fuzz.sh --seconds 60 image
TEXT
}

seconds=900 chosen=()
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --help|-h) usage; exit 0 ;;
    *) [[ " ${targets[*]} " = *" $1 "* ]] || { echo "fuzz: there is no target '$1'" >&2; usage >&2; exit 2; }
       chosen+=("$1") ;;
  esac
  shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${targets[@]}")

tools/setup.sh --no-torch --fuzz
cmake --preset fuzz >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build --preset fuzz
mkdir -p build/fuzz/found
export FASTCLIP_SHARE=build/share
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm  # small files are synced all the time
for target in "${chosen[@]}"; do
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus"
  case "$target" in
    jpeg|png|webp)
      program=image seeds=build/fuzz/seeds/$target
      mkdir -p "$seeds" && cp tests/fuzz/seeds/image/*"$target"* "$seeds" ;;
    *) program=$target seeds=tests/fuzz/seeds/$target ;;
  esac
  echo "fuzz: $target for $seconds s"
  # Leaks are looked for at the end of the process: a skip that keeps memory would show.
  build/fuzz/tests/fuzz_"$program" "$corpus" "$seeds" -max_total_time="$seconds" -max_len=65536 \
    -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=build/fuzz/found/"$target"- \
    >build/fuzz/"$target".log 2>&1 || { tail -40 build/fuzz/"$target".log; exit 1; }
  grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb)|^Done' build/fuzz/"$target".log | tr '\n' ' '
  echo
done
