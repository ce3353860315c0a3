"""What the parts of check.py share: where things are, commands with a time limit, results that are kept at once."""

import contextlib
import datetime
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

TOP = pathlib.Path(__file__).resolve().parents[2]
PREBUILT = TOP / "prebuilt"
# Wheels of the bundle whose modules have another name.
MODULES = {"open_clip_torch": "open_clip"}
# Why a result is missing.
NO_GPU, NO_TIME = "no GPU", "no time left"
# What FastCLIP and PyTorch say of a GPU, and its libraries of their workspace.
OUT_OF_MEMORY = re.compile("CUDA.*out of memory|STATUS_ALLOC_FAILED")


class Failed(Exception):
    """A part cannot go on; the text says why."""

    printed = ""  # by the command that failed, up to then


class OutOfMemory(Failed):
    """The GPU's memory does not suffice for a command."""


class NoTime(Failed):
    """A command had less time than its own limit, since its part ends before."""


class Session:
    """One run of the check. Results are rows of (part, name, value, gate, passed)."""

    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)
        self.dry = options.dry
        self.device = "cpu" if options.dry else "cuda"
        self.rows, self.part, self.ends = [], "", 0.0
        self.started, self.logs = time.time(), itertools.count()
        self.date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.processes = []
        self.python = self.find_python()
        bundled = (PREBUILT / "bin/fastclip").exists()
        self.programs = PREBUILT / "bin" if bundled else TOP / "build"
        self.environment = dict(os.environ)
        self.environment.setdefault("FASTCLIP_PEERS", str(self.python.parent.parent))
        share = PREBUILT / "share/fastclip" if bundled else TOP / "build/share"
        self.environment.setdefault("FASTCLIP_SHARE", str(share))
        if bundled:
            self.link_torch()

    def find_python(self):
        asked = self.options.python
        candidates = [pathlib.Path(asked)] if asked else [
            TOP / "build/venv-2.11/bin/python",
            TOP / "build/venv-peers/bin/python",
            pathlib.Path(sys.executable),
            *sorted(pathlib.Path("/opt").glob("*/.venv/bin/python3")),
            *sorted(pathlib.Path("/opt").glob("*/bin/python3")),
        ]
        for python in candidates:
            if python.exists() and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
                return python.absolute()
        listed = ", ".join(map(str, candidates))
        raise SystemExit(f"gpu_check: no Python with torch among {listed}; name one by --python")

    def link_torch(self):
        """The prebuilt programs look for LibTorch in prebuilt/site; missing Python packages come from the wheels."""
        code = "import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])"
        site = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        link = PREBUILT / "site"
        link.unlink(missing_ok=True)
        link.symlink_to(site)
        packages = self.folder / "packages"
        for wheel in sorted((TOP / "wheels").glob("*.whl")):
            name = wheel.name.split("-")[0]
            code = f"import importlib.util as u, sys; sys.exit(u.find_spec({MODULES.get(name, name)!r}) is None)"
            if subprocess.run([self.python, "-c", code]).returncode != 0:
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(packages)
        paths = [str(packages), self.environment.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)

    def record(self, name, value, gate="", passed=None, anew=False):
        """Keeps a result. `gate` says what is asked of it; without one it is only reported.
        anew: in place of this part's earlier result of that name."""
        row = {"part": self.part, "name": name, "value": value, "gate": gate, "passed": passed}
        if anew:
            self.rows = [other for other in self.rows if (other["part"], other["name"]) != (self.part, name)]
        self.rows.append(row)
        self.write()
        print(f"  {name}: {show(value)}{f'  [{gate}: {verdict(passed)}]' if gate else ''}", flush=True)

    def not_run(self, name, why=NO_GPU):
        self.record(name, f"not run: {why}")

    def write(self):
        result = {"date": self.date, "seconds": round(time.time() - self.started, 1), "dry": self.dry,
                  "rows": self.rows}
        target = pathlib.Path(self.options.out)
        target.with_suffix(".part").write_text(json.dumps(result, indent=1))
        os.replace(target.with_suffix(".part"), target)

    def program(self, name="fastclip"):
        for folder in (self.programs, self.programs / "tests"):
            if (folder / name).exists():
                return str(folder / name)
        raise Failed(f"{name} is not built: no {self.programs / name}")

    def library(self, name):
        for folder in (self.programs, self.programs.parent / "lib"):
            if (folder / name).exists():
                return folder / name
        raise Failed(f"{name} is not built: no {self.programs / name}")

    def seconds_left(self):
        return self.ends - time.time()

    def start(self, words, **more):
        """Starts a command in a process group of its own, with its output in files."""
        log = self.folder / f"log-{next(self.logs)}"
        process = subprocess.Popen(
            [str(word) for word in words], cwd=TOP, env=self.environment | more, start_new_session=True,
            stdout=log.with_suffix(".out").open("w"), stderr=log.open("w"))
        process.log = log
        self.processes.append(process)
        return process

    def wait(self, process, limit=None):
        """The exit code. After the limit, or the part's time, the whole group is killed."""
        left = max(1.0, self.seconds_left())
        seconds = min(limit or left, left)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(process)
            kind = NoTime if limit and left < limit else Failed
            raise kind(f"{pathlib.Path(process.args[0]).name} took over {seconds:.0f} s") from None

    @staticmethod
    def kill(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it
            process.wait(10)

    def kill_all(self):
        """What a part has left running."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        self.processes = []

    def run(self, words, limit=None, code=0, merged=False, **more):
        """What a command prints, with its errors if `merged`; Failed with their end if its exit code is another.
        limit: seconds that the command may take; NoTime if the part ends before."""
        if limit and self.seconds_left() < 1:
            raise NoTime(NO_TIME)
        process = self.start(words, **more)
        out = process.log.with_suffix(".out")
        try:
            got = self.wait(process, limit)
        except Failed as error:
            error.printed = out.read_text()
            raise
        out, errors = out.read_text(), process.log.read_text(errors="replace")
        if code is not None and got != code:
            lines = [line for line in (errors or out).strip().splitlines() if line.strip()]
            kind = OutOfMemory if OUT_OF_MEMORY.search(out + errors) else Failed
            error = kind(f"{pathlib.Path(str(words[0])).name} {words[1] if len(words) > 1 else ''}: exit code {got}: "
                         + (" | ".join(lines[-3:]) or "no output")[-600:])
            error.printed = out
            raise error
        return out + errors if merged else out

    def fastclip(self, *words, **more):
        return self.run([self.program(), *words], **more)

    def train_words(self, run, *words, device=None):
        """A small training run, the same on every device."""
        device = device or self.device
        small = {"data.train": f"{self.shard()}", "data.val": "", "model.name": "tiny", "train.log_every": 1,
                 "train.tf32": "false", "train.cudnn_benchmark": "false", "train.device": device,
                 "objective.name": "fastclip_v3", "learning_rate.warmup": 10, "checkpoint.every_epochs": 0,
                 "train.epochs": 2, "train.batch_size": 8 if self.dry else 64, "pipeline.threads": 1}
        if self.dry:
            small["data.train"] = "synthetic:80"
            small["train.threads"] = 1  # the same on every start: results are compared
        given = {word.split("=")[0] for word in words}
        return ["train", "configs/quickstart.toml", f"run={self.folder / run}",
                *(f"{key}={value}" for key, value in small.items() if key not in given), *words]

    def shard(self):
        bundled = TOP / "shard/00000.tar"
        if bundled.exists():
            return bundled
        made = self.folder / "shard"
        if not made.exists():
            self.fastclip("shards", "convert", "synthetic:1600", made)
        return made / "00000.tar"

    def metrics(self, run):
        """One object a step of a run, by its step."""
        lines = {}
        file = self.folder / run / "metrics.jsonl"
        for line in file.read_text().splitlines() if file.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):  # it is being written
                entry = json.loads(line)
                if entry.get("event") == "train":
                    lines[entry["step"]] = entry
        return lines

    def tool(self, name):
        return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def show(value):
    if isinstance(value, dict):
        return " · ".join(f"{key} {show(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def verdict(passed):
    return {True: "passed", False: "FAILED", None: "not run"}[passed]
