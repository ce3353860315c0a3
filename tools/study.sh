#!/usr/bin/env bash
# Repeats the FastCLIP study at a small scale: searches settings, trains, and writes a table and a plot.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  --help|-h) exec python3 tools/study/study.py --help ;;
esac

tools/setup.sh --openclipart
cmake --preset release >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build --preset release --target fastclip
tools/quickstart_data.sh
exec python3 tools/study/study.py "$@"
