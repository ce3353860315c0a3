"""`fastclip bench objective` as a user calls it: its JSON, the bound on its memory, its exit codes.

usage: bench_objective_test.py FASTCLIP
"""

import json
import subprocess
import sys

FASTCLIP = sys.argv[1]
SMALL = ["--local", "8", "--global", "4096", "--dim", "512", "--tile", "64", "--seconds", "0",
         "--threads", "1"]
ALL = "fastclip_v0,fastclip_v1,fastclip_v2,fastclip_v3,sogclr,isogclr,openclip,siglip"


def bench(*words):
    return subprocess.run([FASTCLIP, "bench", "objective", *words], capture_output=True, text=True)


def main():
    for mode in ("exact", "reference"):
        done = bench(*SMALL, "--mode", mode, "--objectives", ALL, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["local"], result["global"], result["dim"]) == (8, 4096, 512), result
        assert result["six_products_ms"] > 0, result
        assert [each["name"] for each in result["objectives"]] == ALL.split(","), result
        for each in result["objectives"]:
            assert each["ms"] > 0 and each["products_share"] > 0, each
            # No copy of the features of all ranks, 8.4 MB: tiles, and some numbers a row.
            assert each["peak_mb"] < 1, each

    plain = bench(*SMALL)
    assert plain.returncode == 0 and "fastclip_v3" in plain.stdout, plain

    wrong = bench("--local", "16", "--global", "8")
    assert wrong.returncode == 2 and "--global 8" in wrong.stderr, wrong
    assert bench("--objectives", "fastclip_v9").returncode == 2
    assert bench("--dim", "0").returncode == 2


if __name__ == "__main__":
    main()
