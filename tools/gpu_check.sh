#!/usr/bin/env bash
# Proves and measures the GPU path in 8 minutes, on a machine with an NVIDIA GPU, from a checkout or from the folder
# that tools/gpu_bundle.sh packs. It needs no network. --dry runs all of it that needs no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 tools/gpu/check.py "$@"
