#!/usr/bin/env bash
# Installs everything that building and testing need: Debian packages (with sudo unless you are root), LibTorch in
# build/venv, CLIP's vocabulary, ImageNet's class names and prompt templates in build/share. It skips what is installed.
# The first run takes 3 to 5 minutes, later ones about a second.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Installs everything that building and testing need; skips what is installed.
usage: tools/setup.sh [--no-torch] [--openclipart] [--cuda] [--torch-2.11] [--clang] [--fuzz]
  --no-torch     install only what the data tools need (build with -DFASTCLIP_TRAINER=OFF)
  --openclipart  also install the quickstart's training images (Debian's openclipart, 320 MB on disk)
  --clang        also install clang, for tests/check_locks.sh
  --fuzz         also install clang with libFuzzer, for tools/fuzz.sh
  --cuda         also install PyTorch's NVIDIA wheels in build/venv-cuda (about 3 GB; build with -DFASTCLIP_CUDA=ON)
  --torch-2.11   also install LibTorch 2.11's headers, for tests/check_torch.py (531 MB to download, 80 MB on disk)
example: tools/setup.sh && cmake --preset release && cmake --build build
TEXT
}

torch=1 openclipart=0 cuda=0 torch_211=0 clang=0 fuzz=0
for word in "$@"; do
  case "$word" in
    --no-torch) torch=0 ;;
    --openclipart) openclipart=1 ;;
    --cuda) cuda=1 ;;
    --torch-2.11) torch_211=1 ;;
    --clang) clang=1 ;;
    --fuzz) fuzz=1 ;;
    --help|-h) usage; exit 0 ;;
    *) echo "setup: unknown option '$word'" >&2; usage >&2; exit 2 ;;
  esac
done

started=$SECONDS
step() { printf 'setup: %s …\n' "$1"; step_started=$SECONDS; }
done_step() { printf 'setup: … %s s\n' "$((SECONDS - step_started))"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

packages=(build-essential cmake ninja-build ccache git pkg-config python3 python3-venv
  libtbb-dev libarchive-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libgif-dev zlib1g-dev
  libsentencepiece-dev libhwy-dev libxxhash-dev libfmt-dev libtomlplusplus-dev nlohmann-json3-dev
  libcli11-dev libicu-dev libgtest-dev)
[ "$openclipart" = 0 ] || packages+=(openclipart-png openclipart-svg)
[ "$clang" = 0 ] || packages+=(clang-14)
[ "$fuzz" = 0 ] || packages+=(clang-14 libclang-rt-14-dev)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  step "Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  done_step
fi

venv=build/venv
# A stamp file is created last: it marks a complete environment.
stamp() { sha256sum <<<"$*" | cut -c1-16; }
if [ ! -x "$venv/bin/pip" ]; then
  step "Python environment $venv"
  mkdir -p build
  /usr/bin/python3 -m venv "$venv"
  done_step
fi
if [ "$torch" = 1 ]; then
  # The CPU build needs only these three wheels: libtorch_cpu.so links libcudart and libcupti.
  wheels=(torch==2.15.0 nvidia-cuda-runtime==13.2.86 nvidia-cuda-cupti==13.2.86)
  if [ ! -e "$venv/torch-$(stamp "${wheels[@]}")" ]; then
    step "LibTorch, from the torch wheel (539 MB): ${wheels[*]}"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${wheels[@]}"
    touch "$venv/torch-$(stamp "${wheels[@]}")"
    done_step
  fi
fi
if [ "$cuda" = 1 ]; then
  venv_cuda=build/venv-cuda
  mark=$venv_cuda/cuda-$(sha256sum tools/requirements-cuda.txt | cut -c1-16)
  if [ ! -e "$mark" ]; then
    step "LibTorch for NVIDIA GPUs in $venv_cuda (about 3 GB): tools/requirements-cuda.txt"
    [ -x "$venv_cuda/bin/pip" ] || /usr/bin/python3 -m venv "$venv_cuda"
    "$venv_cuda/bin/pip" install --quiet --disable-pip-version-check --no-deps -r tools/requirements-cuda.txt
    touch "$mark"
    done_step
  fi
fi

headers=build/torch-2.11-headers
if [ "$torch_211" = 1 ] && [ ! -e "$headers/torch/version.py" ]; then
  step "LibTorch 2.11's headers, from the torch wheel (531 MB)"
  rm -rf "$headers"
  mkdir -p "$headers/wheel"
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$headers/wheel" torch==2.11.0
  # version.py is the last: it marks complete headers.
  for part in torch/include/ torch/version.py; do
    "$venv/bin/python" - "$headers" "$part" <<'PYTHON'
import pathlib, sys, zipfile
folder, part = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(next((folder / "wheel").glob("*.whl"))) as wheel:
    wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith(part)])
PYTHON
  done
  rm -r "$headers/wheel"
  done_step
fi

share=build/share
vocabulary=$share/bpe_simple_vocab_16e6.txt.gz
if [ ! -s "$vocabulary" ] || [ ! -s "$share/classes/imagenet.txt" ] || [ ! -s "$share/templates/openai.txt" ] ||
  [ ! -s "$share/templates/simple.txt" ]; then
  step "CLIP's vocabulary, ImageNet's class names and prompt templates, from the package open_clip_torch"
  mkdir -p "$share"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps open_clip_torch==3.3.0
  package=$(echo "$venv"/lib/python3*/site-packages/open_clip)
  cp "$package/bpe_simple_vocab_16e6.txt.gz" "$vocabulary.tmp"
  mv "$vocabulary.tmp" "$vocabulary"
  "$venv/bin/python" tools/zero_shot_sets.py "$package" "$share"
  done_step
fi
printf 'setup: ready after %s s\n' "$((SECONDS - started))"
