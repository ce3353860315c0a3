"""Compares training steps of FastCLIP and OpenCLIP in Python on the same inputs, alternating; prints their ratios.

usage: compare_step.py CONFIG.toml [section.key=value …]
Prints one line per round, then one JSON object. OpenCLIP always computes the whole context.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 5
HERE = pathlib.Path(__file__).parent
BOUNDS = {"full": 0.97, "real": 1.2}


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def main(words):
    rates = {"full": [], "real": []}
    with tempfile.TemporaryDirectory() as folder:
        inputs = f"{folder}/inputs.safetensors"
        for turn in range(ROUNDS):
            ours = run("build/fastclip", "bench", "step", *words, "train.device=cpu", "--json", "--inputs", inputs)
            theirs = run(sys.executable, HERE / "openclip_step.py", inputs)
            for length, pairs in rates.items():
                pairs.append((ours[length]["samples_per_second"], theirs[length]["samples_per_second"]))
                print(
                    f"round {turn + 1}, {length} captions: {pairs[-1][0]:.1f} samples/s, OpenCLIP {pairs[-1][1]:.1f},"
                    f" per core-second {ours[length]['samples_per_core_second']:.1f}"
                    f" and {theirs[length]['samples_per_core_second']:.1f}",
                    file=sys.stderr,
                )
    result = {
        length: {
            "fastclip": statistics.median(a for a, _ in pairs),
            "openclip": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs),
            "at_least": BOUNDS[length],
        }
        for length, pairs in rates.items()
    }
    print(json.dumps(result, indent=1))
    return 0 if all(r["ratio"] >= r["at_least"] for r in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
