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


def fastclip(*words):
    return subprocess.run([FASTCLIP, *words], capture_output=True, text=True)


def main():
    recipes = sorted(pathlib.Path("configs").glob("*/*.toml"))
    recipes = [recipe for recipe in recipes if recipe.parent.name != "models"]
    assert len(recipes) >= 10, recipes
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            said = fastclip("train", str(recipe), "--dry-run", "--samples", "2723840", f"run={run}", "train.device=cpu")
            assert said.returncode == 0, said.stderr
            for word in ("M parameters", "device", "planned for 2723840 records", "steps", "memory", "state",
                         "reads", "checkpoint"):
                assert word in said.stdout, (recipe, word, said.stdout)
            assert not run.exists(), recipe
            # "advice" has a length of its own.
            gamma = ["gamma.decay_epochs=1"] if "decay_epochs" in recipe.read_text() else []
            done = fastclip("train", str(recipe), f"run={run}", *SHORT, *gamma)
            assert done.returncode == 0, (recipe, done.stderr)
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            steps = [line for line in lines if line["event"] == "train"]
            assert len(steps) == 2 and all(line["refused_steps"] == 0 for line in steps), (recipe, steps)
            print(f"{recipe}: ok", flush=True)


if __name__ == "__main__":
    main()
