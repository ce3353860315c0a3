"""Parts of gpu_check.py that measure: steps against OpenCLIP, calls of a step, the loader."""

import json
import os
import subprocess
import threading

from session import Failed

# Beginnings of names; the runtime's and the driver's are told apart, and none is counted twice.
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchCooperativeKernel", "cudaGraphLaunch",
            "cuLaunchKernel", "cuLaunchCooperativeKernel", "cuGraphLaunch")
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize", "cudaMemcpy_",
         "cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize", "cuMemcpyDtoH_", "cuMemcpyHtoD_")


class GpuMemory:
    """The most memory that the GPU had in use while a command ran, as nvidia-smi shows it."""

    def __init__(self, session):
        self.session, self.most, self.done = session, 0, threading.Event()

    def __enter__(self):
        self.thread = None if self.session.dry else threading.Thread(target=self.watch)
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        if self.thread:
            self.thread.join()

    def watch(self):
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
        words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--id={gpu}"]
        while not self.done.wait(0.2):
            try:
                shown = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True).stdout
                self.most = max(self.most, int(shown.split()[0]))
            except (OSError, subprocess.SubprocessError, ValueError, IndexError):
                return


def inputs_of(session, model):
    """Weights and a few rows, with our features of them, for OpenCLIP; made and compared on the CPU."""
    file = session.folder / f"inputs-{model}.safetensors"
    if not file.exists():
        session.fastclip("bench", "step", "configs/quickstart.toml", f"model.name={model}", "train.batch_size=16",
                         "train.device=cpu", "--seconds", 0, "--inputs", file, "--json")
    return file


def ours(session, model, rows, seconds, precision, *more):
    words = ["bench", "step", "configs/quickstart.toml", f"model.name={model}", f"train.batch_size={rows}",
             "objective.name=fastclip_v3", f"train.device={session.device}", f"train.precision={precision}",
             *more, "--seconds", seconds, "--json"]
    with GpuMemory(session) as memory:
        result = json.loads(session.fastclip(*words))
    return result | {"memory_mib": memory.most}


def theirs(session, model, rows, seconds, precision, compiled=False):
    words = [session.python, "tools/peers/openclip_step.py", inputs_of(session, model), "--device", session.device,
             "--precision", precision, "--rows", rows, "--seconds", seconds, *(["--compile"] if compiled else [])]
    with GpuMemory(session) as memory:
        result = json.loads(session.run(words).splitlines()[-1])
    return result | {"memory_mib": memory.most}


def speed(session):
    """Samples/s of whole steps, FastCLIP and OpenCLIP in turns; full captions decide, real ones are reported too."""
    if session.dry:
        plan, seconds, precision, gate = [("tiny", 8), ("tiny", 16)], 0.2, "fp32", ""
    else:
        plan = [(model, rows) for rows in (1024, 256, 4096) for model in ("ViT-B-32", "RN50")]
        seconds, precision, gate = 2, "amp_bf16", "at least 1.0 of OpenCLIP eager"
    for model, rows in plan:
        name = f"{model}, {rows} rows"
        try:
            a, b = ours(session, model, rows, seconds, precision), theirs(session, model, rows, seconds, precision)
            for length in ("real", "full"):
                mine, other = a[length]["samples_per_second"], b[length]["samples_per_second"]
                asked = gate if length == "full" else ""
                session.record(f"{name}, captions of {length} length, samples/s",
                               {"FastCLIP": mine, "OpenCLIP eager": other, "ratio": mine / other},
                               asked, mine >= other if asked else None)
            if not session.dry:
                session.record(f"{name}, MiB of GPU memory", {"FastCLIP": a["memory_mib"], "OpenCLIP": b["memory_mib"]})
        except Failed as error:
            session.record(name, str(error), gate or "runs", False)
            if session.seconds_left() < 1:
                raise
    keys(session, seconds, precision)
    if session.dry:
        session.not_run("ViT-B/32 and RN50 at 256, 1,024 and 4,096 rows, memory")
        session.not_run("OpenCLIP compiled")
        return
    for rows in (1024, 4096, 256):  # a compilation each, as time allows
        b = theirs(session, "ViT-B-32", rows, seconds, precision, compiled=True)
        session.record(f"ViT-B-32, {rows} rows, full captions: OpenCLIP compiled, samples/s",
                       b["full"]["samples_per_second"])


def keys(session, seconds, precision):
    """What train.cuda_graphs and train.channels_last are worth; full captions, as recorded steps have them."""
    plan = [("ViT-B-32", 64, "train.cuda_graphs=true"), ("ViT-B-32", 256, "train.cuda_graphs=true"),
            ("RN50", 256, "train.channels_last=false")]
    if session.dry:
        session.not_run("speed with train.cuda_graphs")
        plan = [("tiny", 8, "train.channels_last=false")]
    for model, rows, key in plan:
        name = f"{model}, {rows} rows, full captions, {key}, samples/s"
        try:
            runs = [ours(session, model, rows, seconds, precision, "model.trim_text=false", *more) for more in ([], [key])]
            without, used = (run["full"]["samples_per_second"] for run in runs)
            session.record(name, {"with": used, "without": without, "ratio": used / without})
        except Failed as error:
            session.record(name, str(error), "runs", False)


def calls_of(session, words, out):
    """Counts of CUDA calls while a command ran, by name."""
    library = session.library("libfastclip_gpu_calls.so")
    session.run(words, CUDA_INJECTION64_PATH=str(library), FASTCLIP_GPU_CALLS=str(out))
    if not out.exists():
        raise Failed("no calls were counted: CUPTI was not injected")
    return json.loads(out.read_text())


def calls(session):
    """Kernel launches and waits of the host in a step: 30 steps less 10, of each program."""
    if session.dry:
        for steps in (1, 2):
            session.run([session.python, "tools/peers/openclip_step.py", inputs_of(session, "tiny"), "--steps", steps])
        session.record("the counted steps of OpenCLIP run on the CPU", True, "yes", True)
        session.not_run("launches and waits of a step")
        return
    rows, model = 256, "ViT-B-32"
    counted = {"fastclip": [], "fastclip, recorded": [], "OpenCLIP": []}
    for steps in (10, 30):
        words = session.train_words(f"calls-{steps}", f"model.name={model}", f"train.batch_size={rows}",
                                    f"data.train=synthetic:{rows * steps}", "train.epochs=1", "train.precision=amp_bf16",
                                    "train.log_every=1000", "pipeline.threads=8", "model.trim_text=false")
        out = session.folder / f"calls-{steps}.json"
        counted["fastclip"].append(calls_of(session, [session.program(), *words], out))
        words = [word.replace(f"calls-{steps}", f"recorded-{steps}") for word in words] + ["train.cuda_graphs=true"]
        out = session.folder / f"recorded-calls-{steps}.json"
        counted["fastclip, recorded"].append(calls_of(session, [session.program(), *words], out))
        words = [session.python, "tools/peers/openclip_step.py", inputs_of(session, model), "--device", "cuda",
                 "--precision", "amp_bf16", "--rows", rows, "--steps", steps]
        counted["OpenCLIP"].append(calls_of(session, words, session.folder / f"their-calls-{steps}.json"))
    for who, (few, many) in counted.items():
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
             "--batch", 16 if session.dry else 256, "--seconds", 3 if session.dry else 12]
    result = json.loads(session.fastclip(*words))
    rate = result["samples_per_second"]
    session.record(f"samples/s of 500 × 375 JPEGs, {cores} cores", rate)
    taken = [row["value"] for row in session.rows
             if row["part"] == "speed" and row["name"].startswith("ViT-B-32, 4096 rows, captions of real")]
    if session.dry:
        session.not_run("the GPU's rate")
    elif taken:
        session.record("share of the GPU's rate (ViT-B/32, 4,096 rows) that it feeds", rate / taken[0]["FastCLIP"])
    else:
        session.not_run("share of the GPU's rate", "no rate was measured (part speed)")
