"""The frame of tools/gpu_check.sh: a part that fails, takes too long or has a slip does not stop the others, results are
written as they come, and the exit code tells whether all gates passed. The parts themselves run in `gpu_check.sh --dry`.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/gpu"))
import check  # noqa: E402
import correct  # noqa: E402
from session import Failed, Session  # noqa: E402


def fails(session):
    raise Failed("as asked")


def hangs(session):
    session.run(["sleep", 60])


def slips(session):
    session.record("before the slip", 1)
    raise KeyError("slip")


def passes(session):
    session.record("sum", 2, "2", True)
    written = json.loads(pathlib.Path(session.options.out).read_text())["rows"][-1]["value"]
    session.record("written at once", written == 2)


def misses(session):
    session.record("sum", 3, "2", False)


def proves(session):
    session.record("losses", 0, "0", True)
    session.record(correct.PROVED, "train.cuda_graphs = true")


def run(parts, *words):
    check.PARTS, check.DRY_SECONDS = [(part.__name__, part, 1) for part in parts], 1
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.json"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = check.main(["--dry", "--out", str(out), *words])
        return code, json.loads(out.read_text())["rows"], printed.getvalue()


def main():
    Session.find_python = lambda self: pathlib.Path(sys.executable)
    started = time.time()
    code, rows, printed = run([fails, hangs, slips, passes])
    assert code == 1 and time.time() - started < 20, (code, printed)
    values = {(row["part"], row["name"]): row["value"] for row in rows}
    assert values["fails", "failed"] == "as asked", values
    assert "sleep took over 1 s" in values["hangs", "failed"], values
    assert "slip" in values["slips", "failed"] and values["slips", "before the slip"] == 1, values
    assert values["passes", "written at once"] is True and values["passes", "sum"] == 2, values
    assert "1 of 4 gates passed" in printed and "FAILED: hangs" in printed, printed

    assert run([passes, misses])[0] == 1
    assert run([fails, passes], "--only", "passes")[0] == 0
    # Where all passes, the end names what can be marked as proved.
    marked = "proved in kGpuSettings of trainer/run/start_check.cc: train.cuda_graphs = true"
    assert marked in run([proves])[2] and marked not in run([proves, misses])[2]
    assert "kGpuSettings" in (pathlib.Path(__file__).resolve().parents[2] / "trainer/run/start_check.cc").read_text()
    tests = {f"Kernels/Attention.OfAllQueriesEqualsMath/{kernel}_half_50": "passed" for kernel in ("flash", "cudnn")}
    assert list(correct.proved_kernels(tests)) == ['train.attention = "flash"', 'train.attention = "cudnn"']
    tests["Kernels/Attention.OfOneQueryEqualsMath/cudnn_half_50"] = "skipped"
    tests["Kernels/Attention.OfAllQueriesEqualsMath/flash_half_64"] = "skipped"
    assert list(correct.proved_kernels(tests)) == ['train.attention = "cudnn"']
    # Nothing asked is nothing shown.
    assert run([lambda session: None])[0] == 1

    one = {step: {"contrastive_loss": 2.0, "refused_steps": 0} for step in (1, 2, 3)}
    other = {step: {"contrastive_loss": 2.0 + step / 8, "refused_steps": 0} for step in (2, 3)}
    assert correct.largest_difference(one, other, 1) == (0.25, 1)
    assert correct.largest_difference(one, other, 9) == (0.375, 2)
    other[3]["refused_steps"] = 1
    with contextlib.suppress(Failed):
        raise AssertionError(correct.largest_difference(one, other, 9))


if __name__ == "__main__":
    main()
