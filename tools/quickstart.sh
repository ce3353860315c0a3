#!/usr/bin/env bash
# Trains and evaluates a CLIP model: setup, build, shards from Debian's openclipart, training, then retrieval and
# zero-shot classification on 1,000 held-out pairs. Arguments section.key=value are passed to `fastclip train`.
# example: tools/quickstart.sh train.epochs=30 run=runs/longer
set -euo pipefail
cd "$(dirname "$0")/.."

config=configs/quickstart.toml
data=build/quickstart
run=runs/quickstart
for word in "$@"; do
  case "$word" in
    --help|-h) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
    run=*) run=${word#run=} ;;
    *=*) ;;
    *) echo "quickstart: '$word' is not of the form section.key=value" >&2; exit 2 ;;
  esac
done

tools/setup.sh --openclipart
cmake --preset release >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build --preset release --target fastclip

started=$SECONDS
tools/quickstart_data.sh

# A stopped run is resumed; a finished one is only evaluated again.
resume=false
[ ! -e "$run/metrics.jsonl" ] || resume=true
code=0
build/fastclip train "$config" resume=$resume eval.zeroshot="$data/heldout/*.tar" \
  eval.zeroshot_classes="$data/classes.txt" eval.zeroshot_templates=simple "$@" || code=$?
if [ "$code" -gt 128 ]; then
  echo "quickstart: stopped; run tools/quickstart.sh${*:+ $*} again to resume" >&2
fi
[ "$code" = 0 ] || exit "$code"

echo
build/fastclip eval retrieval "$run" --shards "$data/heldout/*.tar"
echo
build/fastclip eval retrieval "$run" --shards "$data/heldout/*.tar" --json
echo
build/fastclip eval zeroshot "$run" --shards "$data/heldout/*.tar" --classes "$data/classes.txt" --templates simple
cat <<TEXT

quickstart: done in $((SECONDS - started)) s after setup and build. Next steps:
  build/fastclip train $config run=runs/openclip objective.name=openclip     train with OpenCLIP's loss
  build/fastclip train $config run=runs/mine data.train='your/{00000..00099}.tar' data.val= model.name=ViT-B-32
  build/fastclip shards convert --help      pack your own images and captions into shards
  tensorboard --logdir runs      training curves (pip install tensorboard)
TEXT
