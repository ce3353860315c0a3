#!/usr/bin/env bash
# Runs setup, the release build and the tests. --all adds the slow tests, the bundle for machines with a GPU, and
# ASan+UBSan with LibTorch.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  ''|--all) ;;
  --help|-h)
    echo "Runs setup, the release build and the tests."
    echo "usage: tools/test.sh [--all]"
    echo "  --all  also run the slow tests, pack and try the bundle for machines with a GPU (tools/gpu_bundle.sh),"
    echo "         and run the tests under ASan and UBSan"
    echo "example: tools/test.sh --all"
    exit 0 ;;
  *) echo "usage: tools/test.sh [--all]" >&2; exit 2 ;;
esac

tools/setup.sh ${FASTCLIP_CUDA:+--cuda}
cmake --preset release ${FASTCLIP_WERROR:+-DFASTCLIP_WERROR=ON} ${FASTCLIP_CUDA:+-DFASTCLIP_CUDA=ON} >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build --preset release
ctest --test-dir build -j "$(nproc)" --output-on-failure --no-tests=error -LE slow

if [ "${1:-}" = --all ]; then
  ctest --test-dir build -j "$(nproc)" --output-on-failure --no-tests=error -L slow
  # Sources build against LibTorch 2.11 too; what needs no GPU runs from the unpacked bundle alone.
  tools/gpu_bundle.sh
  unpacked=$(mktemp -d)
  tar -C "$unpacked" -xf build/fastclip-gpu.tar.xz
  "$unpacked/fastclip-gpu/tools/gpu_check.sh" --dry --ranks 2 --python "$PWD/build/venv-2.11/bin/python" \
    --out "$PWD/build/gpu_check_dry.json"
  rm -rf "$unpacked"
  cmake --preset asan-all >build/configure.log || { cat build/configure.log; exit 1; }
  cmake --build --preset asan-all
  # LibTorch keeps its allocations until the process ends, so leaks are checked in the build without it.
  ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build/asan-all -j "$(nproc)" --output-on-failure --no-tests=error -LE slow
fi
