"""`fastclip bench adapt` as a user calls it: its JSON, its table, its exit codes.

usage: bench_adapt_test.py FASTCLIP
"""

import json
import subprocess
import sys

FASTCLIP = sys.argv[1]
CONFIG = ["configs/quickstart.toml", "train.batch_size=8", "train.threads=1", "train.device=cpu",
          "--seconds", "0", "--rounds", "1"]
RECIPE = ["model.pretrained=any.safetensors",
          'adapt.tuners=["s2ft *.block.*.{o,fc2} channels=8 select=gradient"]']


def bench(*words):
    return subprocess.run([FASTCLIP, "bench", "adapt", *words], capture_output=True, text=True)


def main():
    done = bench(*CONFIG, *RECIPE, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    modes = {mode["name"]: mode for mode in result["modes"]}
    assert list(modes) == ["recipe", "full", "lora"], result
    for mode in modes.values():
        assert all(mode[key] > 0 for key in ("step_ms", "peak_mb", "trainable", "reduced_mb",
                                             "image_held_mb_per_block", "text_held_mb_per_block")), mode
    full, recipe = modes["full"], modes["recipe"]
    assert full["faster_than_full"] == 1, full
    # Weights, gradients and two moments of all parameters, in float32.
    assert full["peak_mb"] > 16e-6 * full["trainable"], full
    assert recipe["trainable"] < full["trainable"] / 4, modes
    assert recipe["peak_mb"] < full["peak_mb"], modes
    assert recipe["image_held_mb_per_block"] < full["image_held_mb_per_block"], modes
    assert recipe["reduced_mb"] < full["reduced_mb"], modes
    serving = result["serving"]
    for kind in ("s2ft", "lora"):
        assert serving["switch_us"][kind] > 0 and serving["four_adapters_us"][kind] > 0, serving

    plain = bench(*CONFIG, "--kinds")
    assert plain.returncode == 0, plain.stderr
    for name in ("full", "lora", "s2ft", "prompt_deep", "u_tuning tri", "switch of adapters"):
        assert name in plain.stdout, plain.stdout
    assert "recipe" not in plain.stdout, plain.stdout

    wrong = bench(*CONFIG, RECIPE[0], 'adapt.tuners=["loraa *.block.*.q"]')
    assert wrong.returncode == 2 and "did you mean lora" in wrong.stderr, wrong
    assert bench("no/such.toml").returncode == 2


main()
