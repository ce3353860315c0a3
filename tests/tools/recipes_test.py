"""Every recipe of configs/: what its dry run says, and a few steps on pairs made up from their index.

usage: recipes_test.py FASTCLIP
"""

import json
import pathlib
import subprocess
import sys
import tempfile

FASTCLIP = sys.argv[1]
# Steps in bfloat16: float16 convolutions take a CPU a minute each.
SHORT = ["train.device=cpu", "train.batch_size=4", "train.epochs=1", "train.precision=amp_bf16", "train.log_every=1",
         "data.train=synthetic:8", "checkpoint.every_epochs=0"]


# Tuners are the same on a small model, and its base is trained here.
TINY = "model.name=configs/models/tiny.toml"


def fastclip(*words):
    return subprocess.run([FASTCLIP, *words], capture_output=True, text=True)


def main():
    recipes = sorted(pathlib.Path("configs").glob("*/*.toml"))
    recipes = [recipe for recipe in recipes if recipe.parent.name != "models"]
    assert len(recipes) >= 20, recipes
    base = tempfile.TemporaryDirectory()
    done = fastclip("train", "configs/own-data/vit-b-32.toml", f"run={base.name}/run", TINY, *SHORT)
    assert done.returncode == 0, done.stderr
    weights = f"model.pretrained={base.name}/run/checkpoints/step_2/model.safetensors"
    for recipe in recipes:
        verb, more = ("adapt", [TINY, weights]) if recipe.parent.name == "adapt" else ("train", [])
        if 'task = "classify"' in recipe.read_text():
            more = [*more, 'adapt.classes="10"']  # there is no folder of classes whose names could serve
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            said = fastclip(verb, str(recipe), "--dry-run", "--samples", "2723840", f"run={run}", "train.device=cpu", *more)
            assert said.returncode == 0, said.stderr
            for word in ("M parameters", "device", "planned for 2723840 records", "steps", "memory", "state",
                         "reads", "checkpoint"):
                assert word in said.stdout, (recipe, word, said.stdout)
            assert not run.exists(), recipe
            # "advice" has a length of its own.
            gamma = ["gamma.decay_epochs=1"] if "decay_epochs" in recipe.read_text() else []
            done = fastclip(verb, str(recipe), f"run={run}", *SHORT, *gamma, *more)
            assert done.returncode == 0, (recipe, done.stderr)
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            steps = [line for line in lines if line["event"] == "train"]
            assert len(steps) == 2 and all(line["refused_steps"] == 0 for line in steps), (recipe, steps)
            print(f"{recipe}: ok", flush=True)


if __name__ == "__main__":
    main()
