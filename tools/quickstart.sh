#!/usr/bin/env bash
# From nothing to a trained and evaluated CLIP model: set-up, build, shards from Debian's openclipart, training,
# retrieval and zero-shot classification on 1,000 pairs that it never saw. Words behind it go to `fastclip train`:
#   tools/quickstart.sh train.epochs=30 run=runs/longer
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

# A run that was stopped goes on; one that is done is only evaluated again.
resume=false
[ ! -e "$run/metrics.jsonl" ] || resume=true
code=0
build/fastclip train "$config" resume=$resume eval.zeroshot="$data/heldout/*.tar" \
  eval.zeroshot_classes="$data/classes.txt" eval.zeroshot_templates=simple "$@" || code=$?
if [ "$code" -gt 128 ]; then
  echo "quickstart: stopped. To go on where it stopped, run it again: tools/quickstart.sh $*" >&2
fi
[ "$code" = 0 ] || exit "$code"

echo
build/fastclip eval retrieval "$run" --shards "$data/heldout/*.tar"
echo
build/fastclip eval retrieval "$run" --shards "$data/heldout/*.tar" --json
echo
build/fastclip eval zeroshot "$run" --shards "$data/heldout/*.tar" --classes "$data/classes.txt" --templates simple
cat <<TEXT

quickstart: done in $((SECONDS - started)) s after set-up and build. What to try next:
  build/fastclip train $config run=runs/openclip objective.name=openclip     OpenCLIP's loss, to compare
  build/fastclip train $config run=runs/mine data.train='your/{00000..00099}.tar' data.val= model.name=ViT-B-32
  build/fastclip shards convert --help      your own table of pictures and captions into shards
  build/venv-peers/bin/tensorboard --logdir runs      curves (tools/peers.sh makes that environment)
TEXT
