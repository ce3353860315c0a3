#!/usr/bin/env bash
# The quickstart's shards: Debian's openclipart, packed by the binary under build/ into build/quickstart. What is
# there is left alone. tools/quickstart.sh and tools/study.sh call it after set-up and build.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  '') ;;
  --help|-h) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart_data: unknown word '$1'" >&2; exit 2 ;;
esac

data=build/quickstart
if [ ! -e "$data/complete" ] || [ ! -e "$data/classes.txt" ]; then
  echo "quickstart: packing openclipart into shards under $data"
  rm -rf "$data"
  python3 tools/openclipart.py "$data"
  for part in train heldout; do
    # Transparent pictures are put on white; the loader, like Pillow, would just drop the alpha.
    build/fastclip shards convert "$data/$part.tsv" "$data/$part" --resize 80 --background ffffff \
      --records-per-shard 1000
  done
  touch "$data/complete"
fi
