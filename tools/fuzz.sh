#!/usr/bin/env bash
# Fuzzes all parsers of external data, under ASan and UBSan. Findings are written to build/fuzz/found/. Every build's
# tests run the files in tests/fuzz/seeds/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=(tar manifest jpeg png webp image table tokenizer)
usage() {
  cat <<TEXT
Fuzzes the parsers under ASan and UBSan; findings are written to build/fuzz/found/.
usage: tools/fuzz.sh [--seconds N] [TARGET …]
  --seconds N  seconds per target (default: 900)
  TARGET       any of ${targets[*]} (default: all, one after the other);
               jpeg, png and webp start with images of that format, image with all formats
example: tools/fuzz.sh --seconds 60 image
TEXT
}

seconds=900 chosen=()
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --help|-h) usage; exit 0 ;;
    *) [[ " ${targets[*]} " = *" $1 "* ]] || { echo "fuzz: unknown target '$1'" >&2; usage >&2; exit 2; }
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
  # Leaks are checked at the end of the process, which shows skips that keep memory.
  build/fuzz/tests/fuzz_"$program" "$corpus" "$seeds" -max_total_time="$seconds" -max_len=65536 \
    -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=build/fuzz/found/"$target"- \
    >build/fuzz/"$target".log 2>&1 || { tail -40 build/fuzz/"$target".log; exit 1; }
  grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb)|^Done' build/fuzz/"$target".log | tr '\n' ' '
  echo
done
