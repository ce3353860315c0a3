"""The frame of tools/gpu_check.sh: a part that fails, takes too long or has a slip does not stop the others, results
are written as they come, and the exit code tells whether all gates passed. The parts themselves run in
`gpu_check.sh --dry`; of those that measure, what they make of results that only a GPU gives.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/gpu"))
import check  # noqa: E402
import correct  # noqa: E402
import speed  # noqa: E402
from session import Failed, NoTime, OutOfMemory, Session  # noqa: E402


def fails(session):
    raise Failed("as asked")


def hangs(session):
    session.run(["sleep", 60])


def forgets(session):
    session.record("left running", session.start(["sleep", 60]).pid)
    time.sleep(60)


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


def has_time(session):
    session.record("seconds left", session.seconds_left())


def run(parts, *words, dry=True, seconds=1):
    check.PARTS, check.DRY_SECONDS, check.GRACE_SECONDS = [(part.__name__, part, seconds) for part in parts], 1, 1
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.json"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = check.main([*(["--dry"] if dry else []), "--out", str(out), *words])
        return code, json.loads(out.read_text()), printed.getvalue()


def values_of(result):
    return {(row["part"], row["name"]): row["value"] for row in result["rows"]}


def check_frame():
    # gpu_check.sh says 8 minutes; several ranks need more.
    assert sum(seconds for name, _, seconds in check.PARTS if name != "ranks") <= 480
    started = time.time()
    code, result, printed = run([fails, hangs, slips, passes])
    assert code == 1 and time.time() - started < 20, (code, printed)
    values = values_of(result)
    assert values["fails", "failed"] == "as asked", values
    assert "sleep took over 1 s" in values["hangs", "failed"], values
    assert "slip" in values["slips", "failed"] and values["slips", "before the slip"] == 1, values
    assert values["passes", "written at once"] is True and values["passes", "sum"] == 2, values
    assert "1 of 4 gates passed" in printed and "FAILED: hangs" in printed, printed
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result["date"]) and result["date"] in printed

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


def check_time():
    code, result, _ = run([forgets, passes])
    values = values_of(result)
    assert code == 1 and values["forgets", "failed"] == "took too long", values
    with contextlib.suppress(ProcessLookupError):
        os.kill(values["forgets", "left running"], 0)
        raise AssertionError("a part that was stopped has left its command running")
    # What parts leave is for those after them; without time a part has not failed.
    code, result, _ = run([passes, passes, has_time], dry=False, seconds=30)
    assert code == 0 and 60 < values_of(result)["has_time", "seconds left"] <= 90, result
    code, result, printed = run([passes], dry=False, seconds=0)
    assert values_of(result) == {("passes", "all of it"): "not run: no time left"}, result
    assert "1 of the results not run: no time left" in printed, printed


def session_in(folder, dry=False):
    options = argparse.Namespace(dry=dry, python=None, out=f"{folder}/out.json", ranks=0)
    session = Session(options, folder)
    session.part, session.ends = "speed", time.time() + 100
    return session


def python(session, code, **more):
    try:
        return session.run([sys.executable, "-c", code], **more)
    except Failed as error:
        return error


def check_commands(session):
    """What is told apart of commands that fail, and what they printed before."""
    lack = "print('{}', flush=True); raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB.')"
    error = python(session, lack)
    assert type(error) is OutOfMemory and error.printed == "{}\n" and "Tried to allocate" in str(error), error
    assert type(python(session, "raise RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED')")) is OutOfMemory
    assert type(python(session, "raise MemoryError('out of memory of the host')")) is Failed
    hang = "import time; print('{}', flush=True); time.sleep(60)"
    error = python(session, hang, limit=1)
    assert type(error) is Failed and "took over 1 s" in str(error), error
    session.ends = time.time() + 1.5
    assert type(python(session, hang, limit=30)) is NoTime
    session.ends = time.time()
    assert type(python(session, "print('runs')", limit=30)) is NoTime
    session.ends = time.time() + 100

    def ends_after_output(process, limit):
        while not process.log.with_suffix(".out").read_text():
            time.sleep(0.01)
        session.kill(process)
        raise NoTime("no time left")

    session.wait = ends_after_output
    assert python(session, hang).printed == "{}\n"
    del session.wait


def check_words(session):
    """The commands that are compared do the same work: sizes, parts of a batch, one process of OpenCLIP a model."""
    asked = []

    def keep(words, **more):
        asked.append(list(map(str, words)))
        return '{"rows": 256, "full": 1}\nnot a result\n{"rows": 1024, "full": 2}\n'

    real, made = session.run, speed.inputs_of
    session.run, session.program = keep, lambda: "fastclip"
    speed.inputs_of = lambda session, model: f"{model}.inputs"
    results = speed.theirs(session, "RN50", (4096, 256, 1024))
    assert asked[0][asked[0].index("--rows") + 1] == "256/1,1024/1,4096/4", asked
    assert "--compile" not in asked[0] and "amp_bf16" in asked[0], asked
    assert results[256]["full"] == 1 and results[1024]["full"] == 2 and type(results[4096]) is Failed, results
    speed.theirs(session, "ViT-B-32", (1024,), compiled=True)
    assert "--compile" in asked[1] and "1024/1" in asked[1], asked
    session.run = lambda words, **more: asked.append(words) or "{}"
    for model, parts in (("RN50", 4), ("ViT-B-32", 1)):
        speed.ours(session, model, 4096, "train.tf32=false")
        assert {f"train.micro_batches={parts}", "train.batch_size=4096", "train.tf32=false"} <= set(asked[-1]), asked
    # Memory that ends the process leaves what was measured before.
    error = OutOfMemory("does not fit")
    error.printed = '{"rows": 256}\n'

    def end(words, **more):
        raise error

    session.run = end
    assert speed.theirs(session, "ViT-B-32", (256, 4096)) == {256: {"rows": 256}, 4096: error}
    session.run, speed.inputs_of = real, made
    del session.program


def result_of(rate):
    one = {"samples_per_second": rate, "gpu_peak_mb": 1000 * rate}
    return {"real": one, "full": one}


class Rates:
    """Stands for `ours` and `theirs`: samples/s by model and rows, or what is raised; in a list, of each turn."""

    def __init__(self, mine, other):
        self.mine, self.other, self.asked = mine, other, []

    def next_of(self, rates, key):
        values = rates.get(key, 1.0)
        value = values.pop(0) if isinstance(values, list) else values
        return value if isinstance(value, Failed) else result_of(value)

    def ours(self, session, model, rows, *more):
        self.asked.append(("ours", model, rows, *more))
        result = self.next_of(self.mine, (model, rows, *more))
        if isinstance(result, Failed):
            raise result
        return result

    def theirs(self, session, model, sizes, compiled=False):
        self.asked.append(("theirs", model, tuple(sizes), compiled))
        return {rows: self.next_of(self.other, (model, rows, *([True] if compiled else []))) for rows in sizes}


def measured(folder, mine, other):
    session, rates = session_in(folder), Rates(mine, other)
    real = speed.ours, speed.theirs
    speed.ours, speed.theirs = rates.ours, rates.theirs
    speed.speed(session)
    speed.ours, speed.theirs = real
    rows = {row["name"]: row for row in session.rows}
    assert len(rows) == len(session.rows), session.rows
    return rows, rates.asked


def full(model, rows, parts=""):
    return f"{model}, {rows} rows{parts}, captions of full length, samples/s"


def check_speed(folder):
    lack, late = OutOfMemory("CUDA out of memory"), NoTime("no time left")
    rows, asked = measured(folder, {("ViT-B-32", 1024): [3.0, 5.0], ("ViT-B-32", 4096): 7.0, ("RN50", 256): lack,
                                    ("RN50", 1024): [0.5, 0.5], ("RN50", 4096): lack},
                           {("ViT-B-32", 1024): [2.0, 2.0], ("ViT-B-32", 4096): lack, ("RN50", 4096): lack,
                            ("ViT-B-32", 1024, True): 2.5, ("RN50", 1024, True): lack,
                            ("ViT-B-32", 256, True): late, ("RN50", 256, True): Failed("no compiler")})
    # Two turns, of which the mean counts; one row.
    both = rows[full("ViT-B-32", 1024)]
    assert both["value"] == {"FastCLIP": 4.0, "OpenCLIP eager": 2.0, "ratio": 2.0} and both["passed"] is True, both
    assert asked.index(("ours", "ViT-B-32", 1024)) < asked.index(("theirs", "ViT-B-32", (256, 1024, 4096), False))
    assert ("theirs", "ViT-B-32", (256, 1024), False) in asked and ("theirs", "RN50", (1024,), False) in asked, asked
    assert rows["ViT-B-32, 1024 rows, most MB of tensors on the GPU"]["value"]["FastCLIP"] == 4000.0
    slower = rows[full("RN50", 1024)]
    assert slower["value"]["ratio"] == 0.5 and slower["passed"] is False, slower
    # Ours fits and theirs does not, the reverse, and neither.
    wins = rows[full("ViT-B-32", 4096)]
    assert wins["value"] == {"FastCLIP": 7.0, "OpenCLIP eager": "does not fit"} and wins["passed"] is True, wins
    loses = rows[full("RN50", 256)]
    assert loses["value"] == {"FastCLIP": "does not fit", "OpenCLIP eager": 1.0} and loses["passed"] is False, loses
    neither = rows[full("RN50", 4096, " in 4 parts")]
    assert set(neither["value"].values()) == {"does not fit"} and not neither["gate"], neither
    # Compiled is only reported: at 1,024 rows of both models first.
    name = "captions of full length, OpenCLIP compiled, samples/s"
    assert rows[f"ViT-B-32, 1024 rows, {name}"]["value"] == {"OpenCLIP compiled": 2.5, "ratio": 3.0 / 2.5}, rows
    assert rows[f"RN50, 1024 rows, {name}"]["value"] == "does not fit", rows
    assert rows[f"ViT-B-32, 256 rows, {name}"]["value"] == "not run: no time left", rows
    assert rows[f"RN50, 256 rows, {name}"]["value"] == "not run: no compiler", rows
    assert not any(row["gate"] for row in rows.values() if "compiled" in row["name"]), rows
    order = [(model, sizes) for who, model, sizes, *more in asked if who == "theirs" and more == [True]]
    assert order == [("ViT-B-32", (1024,)), ("RN50", (1024,)), ("ViT-B-32", (256, 4096)), ("RN50", (256, 4096))], order


def check_speed_without_time(folder):
    late = NoTime("no time left")
    every = {(model, rows): late for model in ("ViT-B-32", "RN50") for rows in (64, 256, 1024, 4096)}
    rows, _ = measured(folder, every, every)
    assert rows["ViT-B-32, 1024 rows"]["value"] == "not run: no time left", rows
    assert not any(row["gate"] for row in rows.values()), rows
    rows, _ = measured(folder, {("RN50", 256): [2.0, late]}, {})
    assert rows[full("RN50", 256)]["passed"] is True, rows
    assert rows["RN50, 256 rows, second turn"]["value"] == "not run: no time left", rows
    # A failure says more than a lack of time.
    rows, _ = measured(folder, {("RN50", 256): Failed("exit code 1")}, {("RN50", 256): late})
    assert rows["RN50, 256 rows"]["value"] == "exit code 1" and rows["RN50, 256 rows"]["passed"] is False, rows


def check_calls(folder):
    session, counts = session_in(folder), {}
    each = {"cudaLaunchKernelExC_v11060": 100, "cudaEventSynchronize_v3020": 1, "cudaMemcpyAsync_v3020": 5}
    for who, extra in (("fastclip", {}), ("fastclip, recorded", {"pageable cudaMemcpyAsync": 1})):
        for steps in (10, 30):
            counts[who, steps] = {name: 7 + steps * count for name, count in (each | extra).items()}

    def counted(session, words, out):
        if words[0] == "OpenCLIP":
            raise NoTime("no time left")
        return counts[words]

    real = speed.words_of_steps, speed.calls_of
    speed.words_of_steps, speed.calls_of = lambda session, who, steps: (who, steps), counted
    speed.calls(session)
    speed.words_of_steps, speed.calls_of = real
    rows = {row["name"]: row for row in session.rows}
    assert rows["fastclip: kernel launches per step"]["value"] == 100, rows
    waits = [rows[f"{who}: waits of the host per step"] for who in ("fastclip", "fastclip, recorded")]
    assert [(row["value"], row["passed"]) for row in waits] == [(1, True), (2, False)], waits
    assert rows["OpenCLIP: calls of a step"]["value"] == "not run: no time left", rows


def check_differences():
    one = {step: {"contrastive_loss": 2.0, "refused_steps": 0} for step in (1, 2, 3)}
    other = {step: {"contrastive_loss": 2.0 + step / 8, "refused_steps": 0} for step in (2, 3)}
    assert correct.largest_difference(one, other, 1) == (0.25, 1)
    assert correct.largest_difference(one, other, 9) == (0.375, 2)
    other[3]["refused_steps"] = 1
    with contextlib.suppress(Failed):
        raise AssertionError(correct.largest_difference(one, other, 9))


def main():
    Session.find_python = lambda self: pathlib.Path(sys.executable)
    check_frame()
    check_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        session = session_in(folder)
        check_commands(session)
        check_words(session)
        check_speed(folder)
        check_speed_without_time(folder)
        check_calls(folder)
    check_differences()


if __name__ == "__main__":
    main()
