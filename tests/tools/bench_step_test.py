"""`fastclip bench step` as a user calls it: its JSON, its inputs for a peer, its exit codes.

usage: bench_step_test.py FASTCLIP
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

FASTCLIP = sys.argv[1]
CONFIG = ["configs/quickstart.toml", "train.batch_size=8", "train.threads=1"]


def bench(*words):
    return subprocess.run([FASTCLIP, "bench", "step", *words], capture_output=True, text=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        inputs = pathlib.Path(folder) / "inputs.safetensors"
        done = bench(*CONFIG, "--seconds", "0", "--json", "--inputs", str(inputs))
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["model"], result["batch_size"], result["threads"]) == ("tiny", 8, 1), result
        for length in ("real", "full"):
            assert all(value > 0 for value in result[length].values()), result
        with inputs.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        setup = json.loads(header["__metadata__"]["setup"])
        assert setup["model"]["vision_cfg"]["image_size"] == header["images"]["shape"][-1], setup
        assert header["tokens/full"]["shape"] == [8, setup["model"]["text_cfg"]["context_length"]]
        assert "weight/logit_scale" in header

    plain = bench(*CONFIG, "--seconds", "0")
    assert plain.returncode == 0 and "captions of real length" in plain.stdout, plain

    siglip = bench(*CONFIG, "--seconds", "0", "objective.name=siglip", "temperature.init=0.1")
    assert siglip.returncode == 0, siglip.stderr
    locked = bench(*CONFIG, "model.lock_image=true", "model.lock_text=true")
    assert locked.returncode == 2 and "nothing is left to train" in locked.stderr, locked

    wrong = bench("configs/quickstart.toml", "train.batchsize=8")
    assert wrong.returncode == 2 and "train.batch_size" in wrong.stderr, wrong
    # Without a GPU an error, never the CPU's numbers.
    cuda = bench(*CONFIG, "train.device=cuda", "--seconds", "0", "--json")
    if cuda.returncode == 0:
        assert json.loads(cuda.stdout)["device"] == "cuda", cuda
        noted = bench(*CONFIG, "train.device=cuda", "train.attention=math", "--seconds", "0")
        assert noted.returncode == 0 and "is not yet proved on a GPU" in noted.stderr, noted
    else:
        assert cuda.returncode == 1 and "train.device" in cuda.stderr and not cuda.stdout, cuda
        assert cuda.stderr.count("\n") == 1, cuda
    hidden = subprocess.run([FASTCLIP, "bench", "step", *CONFIG, "--seconds", "0", "--json"], capture_output=True,
                            text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert json.loads(hidden.stdout)["device"] == "cpu", hidden
    assert bench("no/such.toml").returncode == 2
    assert subprocess.run([FASTCLIP, "bench", "stepp"], capture_output=True).returncode == 2


if __name__ == "__main__":
    main()
