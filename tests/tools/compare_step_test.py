"""What `tools/peers.sh step` asks of the ratio to OpenCLIP: with README's command, nearly what was measured."""

import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools/peers"))
from compare_step import BOUNDS, COMMAND, MEASURED, bounds, cpu_flags  # noqa: E402

WORDS = sorted(COMMAND)


def main():
    wide, narrow = ["avx", "avx2", "avx512f"], ["avx", "avx2"]
    assert bounds(WORDS, 2, wide, {}) == ({"full": 1.15, "real": 1.89}, "0.9 of what was measured with avx512f")
    assert bounds(WORDS, 2, narrow, {}) == ({"full": 1.3, "real": 2.09}, "0.9 of what was measured with avx2")
    # Of what was not measured only what holds everywhere is asked.
    for words, threads, flags, environment in [
        (WORDS, 4, wide, {}),
        (WORDS, 2, ["sse4_2"], {}),
        (WORDS, 2, wide, {"ATEN_CPU_CAPABILITY": "avx2"}),
        ([*WORDS, "train.precision=amp_bf16"], 2, wide, {}),
        (WORDS[:1], 2, wide, {}),
    ]:
        assert bounds(words, threads, flags, environment)[0] == BOUNDS, (words, threads, flags, environment)
    assert all(BOUNDS[length] < ratio for ratios in MEASURED.values() for length, ratio in ratios.items())
    assert "sse2" in cpu_flags(), cpu_flags()

    readme = (TOP / "README.md").read_text().replace("\n", " ")
    assert "tools/peers.sh step " + " ".join(WORDS) in readme, WORDS


if __name__ == "__main__":
    main()
