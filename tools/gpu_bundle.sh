#!/usr/bin/env bash
# Packs all that tools/gpu_check.sh needs on a machine without network into one file of at most 60 MiB: sources,
# programs built against LibTorch 2.11 with the Debian libraries that they load, headers and libraries to build them
# again, vocabulary, golden files, a shard, Python packages.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Packs tools/gpu_check.sh and all it needs, offline, into one file of at most 60 MiB.
usage: tools/gpu_bundle.sh [--out FILE.tar.xz]   (default: build/fastclip-gpu.tar.xz)
The machine: Ubuntu 24.04 or Debian 12, an NVIDIA GPU with CUDA 13, Python 3.12 with torch 2.11.0+cu130 (--python).
There: tar xf fastclip-gpu.tar.xz && fastclip-gpu/tools/gpu_check.sh
The first run creates build/venv-2.11 (5 GB) and compiles everything against LibTorch 2.11.
example: tools/gpu_bundle.sh --out /tmp/fastclip-gpu.tar.xz
TEXT
}

out=build/fastclip-gpu.tar.xz limit=$((60 * 1024 * 1024))
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=${2:?"gpu_bundle: --out needs a file"}; shift 2 ;;
    --help|-h) usage; exit 0 ;;
    *) echo "gpu_bundle: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done

venv=build/venv-2.11
mark=$venv/ready-$(sha256sum tools/gpu/requirements.txt | cut -c1-16)
if [ ! -e "$mark" ]; then
  echo "gpu_bundle: Python environment $venv: tools/gpu/requirements.txt (5 GB) …"
  [ -x "$venv/bin/pip" ] || /usr/bin/python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tools/gpu/requirements.txt
  touch "$mark"
fi

# Programs look for libraries beside themselves: in the bundle, and through a link that gpu_check.sh sets in its torch.
# shellcheck disable=SC2016  # $ORIGIN is the loader's
rpath='$ORIGIN/../../debian/usr/lib/x86_64-linux-gnu'
for part in torch nvidia/cu13 nvidia/cudnn nvidia/nccl nvidia/cusparselt nvidia/nvshmem; do
  rpath="$rpath;\$ORIGIN/../site/$part/lib"
done
build=build/torch-2.11
tests=(gpu_test openclip_peer_test objective_golden_test tower_golden_test)
targets=(fastclip fastclip_nccl fastclip_gpu_calls "${tests[@]}")
echo "gpu_bundle: programs against LibTorch 2.11, in $build …"
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFASTCLIP_CUDA=ON -DFASTCLIP_RPATH="$rpath" \
  -DFASTCLIP_VENV="$PWD/$venv" -DFASTCLIP_CUDA_VENV="$PWD/$venv" ${FASTCLIP_WERROR:+-DFASTCLIP_WERROR=ON} \
  >"$build/configure.log" || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --target "${targets[@]}"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/fastclip-gpu
mkdir -p "$root"/{prebuilt/bin,prebuilt/lib,prebuilt/share/fastclip,debian,wheels}
git ls-files -z -- ':!tools/readme' ':!tools/study' ':!tests/golden/*.py' | xargs -0 cp --parents -t "$root"
for name in fastclip "${tests[@]}"; do
  from=$build/$name
  [ -e "$from" ] || from=$build/tests/$name
  strip -o "$root/prebuilt/bin/$name" "$from"
done
for name in libfastclip_nccl.so libfastclip_gpu_calls.so; do strip -o "$root/prebuilt/lib/$name" "$build/$name"; done
cp -rL build/share/. "$root/prebuilt/share/fastclip/"

# The development packages without static libraries (but GoogleTest's), and the libraries that they link and those load.
packages=$(sed -n '/^packages=(/,/)$/p' tools/setup.sh | tr -d '()' | sed 's/^packages=//' | tr ' ' '\n' | grep -e '-dev$')
lib=usr/lib/x86_64-linux-gnu
# shellcheck disable=SC2086  # one word a package
dpkg -L $packages | grep -E "^/usr/include/|/(cmake|pkgconfig)/|^/$lib/[^/]*\.so|/libg(test|mock)[^/]*\.a$" >"$stage/files"
while read -r file; do
  [ -f "$file" ] || [ -L "$file" ] || continue
  cp -P --parents "$file" "$root/debian/"
  if [ -L "$file" ] && [[ $file = *.so* ]]; then  # a library under the name that it is loaded by
    target=$(readlink "$file")
    ln -sf "$(basename "$target")" "$root/debian$file"
    case "$target" in /*) echo "$target" ;; *) echo "$(dirname "$file")/$target" ;; esac
  fi
done <"$stage/files" >"$stage/linked"
{ echo "$build/fastclip"; cat "$stage/linked"; } | { xargs ldd 2>/dev/null || true; } |
  awk '$2 == "=>" && $3 ~ /^\/(usr\/)?lib\// {print $3}' >"$stage/loaded"
# Not what every Linux has in its own version.
system='/(libc|libm|libdl|librt|libutil|libpthread|libstdc\+\+|libgcc_s|ld-linux[^/]*)\.so'
sort -u "$stage/linked" "$stage/loaded" | grep -vE "$system" | while read -r file; do
  [ -e "$file" ] || continue
  real=$(readlink -f "$file") name=$(basename "$file")
  cp -n "$real" "$root/debian/$lib/"
  [ -e "$root/debian/$lib/$name" ] || ln -s "$(basename "$real")" "$root/debian/$lib/$name"
done

platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64)
"$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
  --implementation cp "${platforms[@]}" --dest "$root/wheels" -r tools/gpu/wheels.txt

# The shard is written by the program of the bundle, as it will run there.
ln -s "$(realpath "$venv"/lib/python3*/site-packages)" "$root/prebuilt/site"
"$root/prebuilt/bin/fastclip" shards convert synthetic:1600 "$root/shard"
rm "$root/prebuilt/site"

mkdir -p "$(dirname "$out")"
tar -C "$stage" --owner=0 --group=0 --sort=name -cf - fastclip-gpu | xz -6 -T0 >"$out"
size=$(stat -c %s "$out")
echo "content of $out (uncompressed):"
(cd "$root" && du -sh --apparent-size debian prebuilt wheels shard tests tools trainer pipeline comm tokenizer configs | sort -rh)
ls "$root/wheels"
printf '%s: %s of %s MiB\n' "$out" "$(awk "BEGIN {printf \"%.1f\", $size / 1048576}")" "$((limit / 1048576))"
if [ "$size" -gt "$limit" ]; then
  echo "gpu_bundle: the file is too large; see the list above" >&2
  exit 1
fi
