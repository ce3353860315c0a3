#!/usr/bin/env bash
# Packs Debian's openclipart into the quickstart's shards in build/quickstart, unless they exist. It needs
# build/fastclip; tools/quickstart.sh and tools/study.sh call it after setup and build.
# example: tools/quickstart_data.sh
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  '') ;;
  --help|-h) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart_data: unknown argument '$1'" >&2; exit 2 ;;
esac

data=build/quickstart
if [ ! -e "$data/complete" ] || [ ! -e "$data/classes.txt" ]; then
  echo "quickstart: packing openclipart into shards under $data"
  rm -rf "$data"
  python3 tools/openclipart.py "$data"
  for part in train heldout; do
    # Transparent images get a white background; the loader, like Pillow, would drop the alpha channel.
    build/fastclip shards convert "$data/$part.tsv" "$data/$part" --resize 80 --background ffffff \
      --records-per-shard 1000
  done
  touch "$data/complete"
fi
