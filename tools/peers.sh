#!/usr/bin/env bash
# Compares FastCLIP with the Python reference. The comparisons need the environment build/venv-peers (about 4 GB), and
# `pipeline` another for DALI (0.7 GB). Both are created on first use, never by setup, build or the default tests.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Compares FastCLIP with the Python reference, in Python environments that it creates under build/.
usage: tools/peers.sh [VERB …]
  (no verb)                 only create the environment build/venv-peers (about 4 GB)
  step CONFIG [KEY=VALUE …] samples/s of `fastclip bench step` and of OpenCLIP, alternating, and their ratios
  pipeline [SHARDS] [SECONDS] [--json]
                            samples/s of FastCLIP's loader, DALI on the CPU, and webdataset with Pillow, alternating
                            (creates another environment, 0.7 GB)
  checkpoint [CHECKPOINT]   OpenCLIP loads FastCLIP's weights (a run, a checkpoint, or new ones), and vice versa
  adapters                  Hugging Face PEFT loads FastCLIP's adapters, and vice versa
  zeroshot MODEL.safetensors MODEL.toml SHARDS CLASSES TEMPLATES
                            OpenCLIP's zero-shot metrics with FastCLIP's weights, as one JSON object
  pixels [N]                decode, crop and resize N images of all formats (default: 1000) with Pillow and FastCLIP
  foreign                   read the test tars of CPython, libarchive and webdataset, and Pillow's test images, with
                            Python and FastCLIP (creates another environment, 0.2 GB)
  train CONFIG [KEY=VALUE …] train OpenCLIP's Python model on a config's shards and print its retrieval metrics
example: tools/peers.sh step configs/quickstart.toml
TEXT
}

verb=${1:-}
case "$verb" in
  ''|step|pipeline|checkpoint|adapters|zeroshot|pixels|foreign|train) ;;
  --help|-h) usage; exit 0 ;;
  *) echo "peers: unknown verb '$verb'" >&2; usage >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift

# Checked before gigabytes are downloaded.
case "$verb" in
  step|pipeline) program=build/fastclip ;;
  checkpoint) program=build/tests/openclip_peer_test ;;
  adapters) program=build/tests/peft_peer_test ;;
  pixels) program=build/tests/pipeline_pixels_golden_test ;;
  *) program='' ;;
esac
if [ -n "$program" ] && [ ! -x "$program" ]; then
  echo "peers: $program is not built; run tools/setup.sh && cmake --preset release && cmake --build build" >&2
  exit 1
fi

# Creates an environment in FOLDER with the packages. Its stamp is created last, when it is complete.
environment() {  # FOLDER PACKAGE…
  local folder=$1 stamp
  shift
  stamp=$folder/peers-$(sha256sum <<<"$*" | cut -c1-16)
  [ ! -e "$stamp" ] || return 0
  echo "peers: Python environment $folder: $* …" >&2
  mkdir -p "$(dirname "$folder")"
  [ -x "$folder/bin/pip" ] || /usr/bin/python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
  touch "$stamp"
}

# Downloads the files of the Debian source package SOURCE to FOLDER, with package lists separate from the machine's.
debian_source() {  # FOLDER SOURCE
  local apt
  apt=$(realpath "$1")/apt
  mkdir -p "$apt/lists/partial" "$apt/sources"
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$list" ] || sed -n 's/^deb /deb-src /p' "$list" >>"$apt/sources/all.list"
  done
  for list in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/sources/$(basename "$list")"
  done
  local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources"
                 -o "Dir::State::lists=$apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  apt-get "${options[@]}" update
  (cd "$1" && apt-get "${options[@]}" source --download-only "$2")
}

if [ "$verb" = foreign ]; then
  folder=build/peers-foreign venv=${FASTCLIP_PEERS_FOREIGN:-build/venv-peers-foreign}
  environment "$venv" pillow==12.2.0 webdataset==1.0.2
  mkdir -p "$folder/packages"
  if [ ! -e "$folder/packages/whole" ]; then
    echo "peers: test files of CPython, libarchive and Pillow …" >&2
    suite=$(apt-cache search --names-only '^libpython3\.[0-9]+-testsuite$' | cut -d' ' -f1 | tail -1)
    (cd "$folder/packages" && apt-get -qq download "$suite" && dpkg-deb -x libpython3*.deb cpython)
    debian_source "$folder/packages" libarchive
    "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
      --dest "$folder/packages" pillow==12.2.0
    touch "$folder/packages/whole"
  fi
  "$venv/bin/python" tools/peers/foreign.py "$folder/files" --cpython "$folder/packages/cpython" \
    --libarchive "$(echo "$folder"/packages/libarchive_*.orig.tar.xz)" --pillow "$(echo "$folder"/packages/pillow-*.tar.gz)"
  FASTCLIP_FOREIGN=$folder/files exec build/tests/pipeline_foreign_peer_test --gtest_brief=1
fi

venv=${FASTCLIP_PEERS:-build/venv-peers}
environment "$venv" torch==2.15.0 torchvision==0.29.2 open_clip_torch==3.3.0 pillow==12.2.0 numpy==2.4.6 \
  safetensors==0.8.0 tensorboard==2.21.0 webdataset==1.0.2 pandas==3.1.1 transformers==5.24.0 peft==0.21.2

case "$verb" in
  '') echo "peers: $venv is ready" ;;
  step) exec "$venv/bin/python" tools/peers/compare_step.py "$@" ;;
  pipeline)
    dali=${FASTCLIP_PEERS_DALI:-build/venv-peers-dali}
    environment "$dali" nvidia-dali-cuda130==2.4.0 nvidia-nvimgcodec-cu13==0.9.0.20 numpy==2.4.6
    exec "$venv/bin/python" tools/peers/compare_pipeline.py --dali "$dali/bin/python" "$@" ;;
  checkpoint)
    FASTCLIP_PEERS=$venv FASTCLIP_CHECKPOINT=${1:-} exec build/tests/openclip_peer_test ;;
  adapters) FASTCLIP_PEERS=$venv exec build/tests/peft_peer_test ;;
  pixels)
    if ! command -v jpegtran >/dev/null; then
      echo "peers: Debian package libjpeg-turbo-progs (jpegtran, for arithmetic coding) …" >&2
      if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
      $sudo apt-get install -y -qq --no-install-recommends libjpeg-turbo-progs >/dev/null
    fi
    mkdir -p build/peers-pixels
    "$venv/bin/python" tests/golden/make_pixels.py build/peers-pixels "${1:-1000}"
    FASTCLIP_PIXELS=build/peers-pixels exec build/tests/pipeline_pixels_golden_test --gtest_brief=1 \
      --gtest_filter='*InAFolderThatIsNamed' ;;
  zeroshot) exec "$venv/bin/python" tools/peers/zero_shot.py "$@" ;;
  train) exec "$venv/bin/python" tools/peers/reference_train.py "$@" ;;
esac
