"""Parts of gpu_check.py that measure: steps against OpenCLIP, calls of a step, the loader."""

import json
import os
import statistics

from session import NO_TIME, Failed, NoTime, OutOfMemory

# Beginnings of names; the runtime's and the driver's are told apart, and none is counted twice. count_calls.cc names
# copies of pageable memory so.
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchCooperativeKernel", "cudaGraphLaunch",
            "cuLaunchKernel", "cuLaunchCooperativeKernel", "cuGraphLaunch")
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize", "cudaMemcpy_",
         "pageable cudaMemcpyAsync",
         "cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize", "cuMemcpyDtoH_", "cuMemcpyHtoD_")
# Parts of a batch for which gradients are accumulated: a ResNet-50 keeps 65 MB a row, at most 2,000 rows on an H200.
PARTS = {("RN50", 4096): 4, ("tiny", 16): 2}
DOES_NOT_FIT = "does not fit"


def settings(session):
    """Seconds to measure each length of captions, and the precision."""
    return (0.2, "fp32") if session.dry else (2, "amp_bf16")


def tried(work, *words):
    """What `work` returns, or the Failed that it raises."""
    try:
        return work(*words)
    except Failed as error:
        return error


def inputs_of(session, model):
    """Weights and a few rows, with our features of them, for OpenCLIP; made and compared on the CPU."""
    file = session.folder / f"inputs-{model}.safetensors"
    if not file.exists():
        session.fastclip("bench", "step", "configs/quickstart.toml", f"model.name={model}", "train.batch_size=16",
                         "train.device=cpu", "--seconds", 0, "--inputs", file, "--json", limit=60)
    return file


def ours(session, model, rows, *more):
    """What `fastclip bench step` prints."""
    seconds, precision = settings(session)
    words = ["bench", "step", "configs/quickstart.toml", f"model.name={model}", f"train.batch_size={rows}",
             f"train.micro_batches={PARTS.get((model, rows), 1)}", "objective.name=fastclip_v3",
             f"train.device={session.device}", f"train.precision={precision}", *more, "--seconds", seconds, "--json"]
    return json.loads(session.fastclip(*words, limit=60))


def theirs(session, model, sizes, compiled=False):
    """What OpenCLIP prints for each number of rows, or the Failed that ended it before. It measures all in one process,
    the largest last, since starting takes longer than a measurement."""
    seconds, precision = settings(session)
    sizes = sorted(sizes)
    results, ended = {}, Failed("OpenCLIP printed no result")
    try:
        words = [session.python, "tools/peers/openclip_step.py", inputs_of(session, model), "--device", session.device,
                 "--precision", precision, "--seconds", seconds, *(["--compile"] if compiled else []),
                 "--rows", ",".join(f"{rows}/{PARTS.get((model, rows), 1)}" for rows in sizes)]
        printed = session.run(words, limit=(120 if compiled else 60) * len(sizes))
    except Failed as error:
        printed, ended = error.printed, error
    for line in printed.splitlines():
        if line.startswith("{"):
            result = json.loads(line)
            results[result["rows"]] = result
    return {rows: results.get(rows, ended) for rows in sizes}


def named(model, rows):
    parts = PARTS.get((model, rows), 1)
    return f"{model}, {rows} rows" + (f" in {parts} parts" if parts > 1 else "")


def gate_of(session):
    return "runs" if session.dry else "at least 1.0 of OpenCLIP eager"


def turn(session, model, sizes, turns):
    """FastCLIP at each number of rows, then OpenCLIP. Their results join those of earlier turns, by (model, rows)."""
    mine = {rows: tried(ours, session, model, rows) for rows in sizes}
    other = theirs(session, model, sizes)
    for rows in sizes:
        pairs = turns.setdefault((model, rows), [])
        name = named(model, rows) + (", second turn" if pairs else "")
        pair = mine[rows], other[rows]
        failed = [result for result in pair if isinstance(result, Failed) and not isinstance(result, OutOfMemory)]
        failed.sort(key=lambda error: isinstance(error, NoTime))  # the others say more
        if not failed:
            pairs.append(pair)
            record_turns(session, named(model, rows), pairs)
        elif isinstance(failed[0], NoTime):
            session.not_run(name, NO_TIME)
        else:
            session.record(name, str(failed[0]), gate_of(session), False)


def mean_of(results, length, key):
    """Of a value in each turn; "does not fit" if a turn ran out of memory."""
    if any(isinstance(result, OutOfMemory) for result in results):
        return DOES_NOT_FIT
    return statistics.mean(result[length][key] for result in results)


def record_turns(session, name, pairs):
    """Full captions decide, real ones are reported too. What does not fit has lost to what does."""
    mine, other = zip(*pairs)
    for length in ("real", "full"):
        values = {"FastCLIP": mean_of(mine, length, "samples_per_second"),
                  "OpenCLIP eager": mean_of(other, length, "samples_per_second")}
        rates = [0 if value == DOES_NOT_FIT else value for value in values.values()]
        if all(rates):
            values["ratio"] = rates[0] / rates[1]
        asked = gate_of(session) if length == "full" and any(rates) and not session.dry else ""
        session.record(f"{name}, captions of {length} length, samples/s", values, asked,
                       rates[0] >= rates[1] if asked else None, anew=True)
    if not session.dry:
        values = {"FastCLIP": mean_of(mine, "full", "gpu_peak_mb"),
                  "OpenCLIP eager": mean_of(other, "full", "gpu_peak_mb")}
        session.record(f"{name}, most MB of tensors on the GPU", values, anew=True)


def speed(session):
    """Samples/s of whole steps, FastCLIP and OpenCLIP in turns: what tells most first, the rest as time allows."""
    models, sizes = (("tiny",), (8, 16)) if session.dry else (("ViT-B-32", "RN50"), (256, 1024, 4096))
    turns = {}
    for model in models:
        turn(session, model, sizes, turns)
    if session.dry:
        keys(session, turns)
        session.not_run("ViT-B/32 and RN50 at 256, 1,024 and 4,096 rows, memory")
        session.not_run("OpenCLIP compiled")
        return
    against_compiled(session, models, (1024,), turns)
    keys(session, turns)
    against_compiled(session, models, (256, 4096), turns)
    for model in models:
        again = [rows for rows in sizes if turns[model, rows] and OutOfMemory not in map(type, turns[model, rows][0])]
        if again:
            turn(session, model, again, turns)


def against_compiled(session, models, sizes, turns):
    """OpenCLIP compiled, each number of rows for itself; only reported."""
    for model in models:
        for rows, other in theirs(session, model, sizes, compiled=True).items():
            name = f"{named(model, rows)}, captions of full length, OpenCLIP compiled, samples/s"
            if isinstance(other, OutOfMemory):
                session.record(name, DOES_NOT_FIT)
            elif isinstance(other, Failed):
                session.not_run(name, NO_TIME if isinstance(other, NoTime) else str(other))
            else:
                rate = other["full"]["samples_per_second"]
                mine = earlier_rate(turns, model, rows)
                session.record(name, {"OpenCLIP compiled": rate} | ({"ratio": mine / rate} if mine else {}))


def earlier_rate(turns, model, rows):
    """FastCLIP's of full captions in its last turn; None if it has none."""
    for mine, _ in reversed(turns.get((model, rows), [])):
        if not isinstance(mine, Failed):
            return mine["full"]["samples_per_second"]
    return None


def keys(session, turns):
    """What train.cuda_graphs and train.channels_last are worth; full captions, as recorded steps have them."""
    plan = [("ViT-B-32", 64, "train.cuda_graphs=true"), ("ViT-B-32", 256, "train.cuda_graphs=true"),
            ("RN50", 256, "train.channels_last=false")]
    if session.dry:
        session.not_run("speed with train.cuda_graphs")
        plan = [("tiny", 8, "train.channels_last=false")]
    for model, rows, key in plan:
        name = f"{model}, {rows} rows, full captions, {key}, samples/s"
        try:
            used = ours(session, model, rows, "model.trim_text=false", key)["full"]["samples_per_second"]
            # Of full captions nothing is trimmed.
            without = earlier_rate(turns, model, rows) or ours(session, model, rows)["full"]["samples_per_second"]
            session.record(name, {"with": used, "without": without, "ratio": used / without})
        except NoTime:
            session.not_run(name, NO_TIME)
        except Failed as error:
            session.record(name, str(error), "runs", False)


def calls_of(session, words, out):
    """Counts of CUDA calls while a command ran, by name."""
    library = session.library("libfastclip_gpu_calls.so")
    session.run(words, limit=40, CUDA_INJECTION64_PATH=str(library), FASTCLIP_GPU_CALLS=str(out))
    if not out.exists():
        raise Failed("no calls were counted: CUPTI was not injected")
    return json.loads(out.read_text())


def words_of_steps(session, who, steps):
    """A command of so many steps of full captions."""
    rows, model = 256, "ViT-B-32"
    if who == "OpenCLIP":
        return [session.python, "tools/peers/openclip_step.py", inputs_of(session, model), "--device", "cuda",
                "--precision", "amp_bf16", "--rows", rows, "--steps", steps]
    recorded = who.endswith("recorded")
    words = session.train_words(f"{'recorded' if recorded else 'calls'}-{steps}", f"model.name={model}",
                                f"train.batch_size={rows}", f"data.train=synthetic:{rows * steps}", "train.epochs=1",
                                "train.precision=amp_bf16", "train.log_every=1000", "pipeline.threads=8",
                                "model.trim_text=false", f"train.cuda_graphs={'true' if recorded else 'false'}")
    return [session.program(), *words]


def calls(session):
    """Kernel launches and waits of the host in a step: 30 steps less 10, of each program."""
    if session.dry:
        for steps in (1, 2):
            session.run([session.python, "tools/peers/openclip_step.py", inputs_of(session, "tiny"), "--steps", steps])
        session.record("the counted steps of OpenCLIP run on the CPU", True, "yes", True)
        session.not_run("launches and waits of a step")
        return
    for who in ("fastclip", "fastclip, recorded", "OpenCLIP"):
        try:
            few, many = (calls_of(session, words_of_steps(session, who, steps), session.folder / f"{who}-{steps}.json")
                         for steps in (10, 30))
        except NoTime:
            session.not_run(f"{who}: calls of a step", NO_TIME)
        except Failed as error:
            session.record(f"{who}: calls of a step", str(error), "runs", False)
        else:
            record_calls(session, who, few, many)


def record_calls(session, who, few, many):
    for what, names in (("kernel launches", LAUNCHES), ("waits of the host", WAITS)):
        total = [sum(n for name, n in calls.items() if name.startswith(names)) for calls in (few, many)]
        per_step = (total[1] - total[0]) / 20
        gate = "at most 1" if who.startswith("fastclip") and names is WAITS else ""
        session.record(f"{who}: {what} per step", per_step, gate, per_step <= 1 if gate else None)


def make_photographs(session, count):
    """A shard of JPEGs of photographs' size, that compress as photographs do."""
    code = f"""
import pathlib, random, sys
from PIL import Image
folder = pathlib.Path(sys.argv[1]); folder.mkdir()
with (folder / 'pairs.tsv').open('w') as table:
    table.write('filepath\\tcaption\\n')
    for i in range({count}):
        random.seed(i)
        small = Image.frombytes('RGB', (62, 47), random.randbytes(62 * 47 * 3))
        small.resize((500, 375), Image.BICUBIC).save(folder / f'{{i}}.jpg', quality=85)
        table.write(f'{{folder / str(i)}}.jpg\\tphotograph number {{i}} of a dog on a hill\\n')
"""
    folder = session.folder / "photographs"
    session.run([session.python, "-c", code, folder])
    session.fastclip("shards", "convert", folder / "pairs.tsv", session.folder / "photograph-shard")
    return session.folder / "photograph-shard/00000.tar"


def loader(session):
    """What the loader delivers on this machine's cores, against what the GPU can take."""
    cores = os.cpu_count()
    shard = make_photographs(session, 32 if session.dry else 400)
    words = ["bench", "pipeline", "--shards", shard, "--threads", max(1, cores - 2), "--json",
             "--batch", 16 if session.dry else 256, "--seconds", 3 if session.dry else 10]
    result = json.loads(session.fastclip(*words))
    rate = result["samples_per_second"]
    session.record(f"samples/s of 500 × 375 JPEGs, {cores} cores", rate)
    taken = [row["value"]["FastCLIP"] for row in session.rows
             if row["part"] == "speed" and row["name"].startswith("ViT-B-32, 4096 rows, captions of real")]
    if session.dry:
        session.not_run("the GPU's rate")
    elif taken and taken[0] != DOES_NOT_FIT:
        session.record("share of the GPU's rate (ViT-B/32, 4,096 rows) that it feeds", rate / taken[0])
    else:
        session.not_run("share of the GPU's rate", "no rate was measured (part speed)")
