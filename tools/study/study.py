"""Trains the study's methods on the quickstart's data and writes a table and a plot.

First it searches: it trains each method's settings, listed in methods.toml, for a few epochs on a
part of the training images and validates them on the rest. Then it trains the best setting of each
method with several seeds and evaluates it once on the held-out images. Every run writes one JSON
file to the results folder. A run is skipped if its command, the hashes of its data and the version
of the program are unchanged, so a stopped study can be resumed. A result that does not match is
moved to set-aside/ and its run is repeated: results of different data or versions are never
compared. At the end it writes results.md and results.svg to the results folder.

Each run has one thread, and runs are parallel, one per core, so the core-seconds of a run hardly
depend on the load of the machine.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = "build/fastclip"
QUICKSTART = pathlib.Path("build/quickstart")
METRICS = ("R@1", "R@5", "R@10")


def run(command):
    """The output of a command."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run_logged(command, log):
    """Runs a command with its output in a log. Returns its core-seconds."""
    with open(log, "a", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def write_aside(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def pack(table, folder):
    """Packs a table into shards, unless they were packed from the same table before."""
    source, mark = hashlib.sha256(table.read_bytes()).hexdigest(), folder / "packed-from"
    if mark.exists() and mark.read_text() == source:
        return
    shutil.rmtree(folder, ignore_errors=True)
    part = folder.with_name(folder.name + ".part")  # renamed once it is whole
    shutil.rmtree(part, ignore_errors=True)
    run_logged([PROGRAM, "shards", "convert", str(table), str(part), "--resize", "80", "--background", "ffffff",
                "--records-per-shard", "1000"], folder.with_suffix(".log"))
    (part / mark.name).write_text(source)
    part.rename(folder)


def prepare(work, validation):
    """Packs the quickstart's training images again, with a part of them for validation."""
    with open(QUICKSTART / "train.tsv", encoding="utf-8", newline="\n") as file:
        head, *rows = file.read().splitlines(keepends=True)
    uses = collections.Counter(row.split("\t")[1].lower() for row in rows)
    unique = [row for row in rows if uses[row.split("\t")[1].lower()] == 1]
    chosen = set(sorted(unique, key=lambda row: hashlib.sha256(row.encode()).digest())[:validation])
    for part, mine in (("validation", chosen), ("fit", set(rows) - chosen)):
        write_aside(work / f"{part}.tsv", head + "".join(row for row in rows if row in mine))
        pack(work / f"{part}.tsv", work / part)
    return {
        "search": (f"{work}/fit/*.tar", f"{work}/validation/*.tar"),
        "final": (f"{QUICKSTART}/train/*.tar", f"{QUICKSTART}/heldout/*.tar"),
    }


def origin_of(shards):
    """The origin of a phase's results: {"program": version, "train": hash, "test": hash}."""
    program = run([PROGRAM, "--version"]).splitlines()[0]

    def hash_of(part):
        return json.loads(run([PROGRAM, "shards", "info", part, "--json"]))["hash"]

    return {phase: {"program": program, "train": hash_of(train), "test": hash_of(test)}
            for phase, (train, test) in shards.items()}


class Study:
    """`origins`: origin_of() the shards. `dry`: run nothing, collect the runs in `missing`."""

    def __init__(self, plan, work, results, shards, origins, dry=False):
        self.plan, self.work, self.results, self.shards, self.origins = plan, work, results, shards, origins
        self.dry, self.missing = dry, []

    def words(self, method, setting):
        return [*self.plan["words"], *method["words"], *setting]

    def one(self, phase, name, words, epochs, seed):
        """The result of one run, read from its file or measured."""
        train, test = self.shards[phase]
        words = [*words, f"train.epochs={epochs}", f"train.seed={seed}", f"data.train={train}", "data.val="]
        file = self.results / phase / f"{name}.json"
        known = json.loads(file.read_text()) if file.exists() else None
        differs = self.differences(phase, words, known) if known else ["no result yet"]
        if not differs:
            return known
        if self.dry:
            self.missing.append((f"{phase}: {name}", differs, known["core_seconds"] if known else 0))
            return known
        if known:
            self.set_aside(file, f"{phase}: {name}", differs)
        folder = self.work / "runs" / phase / name
        shutil.rmtree(folder, ignore_errors=True)  # of a study that was stopped
        folder.mkdir(parents=True)
        print(f"{time.strftime('%H:%M:%S')} {phase}: {name}\n", end="", flush=True)
        seconds = run_logged([PROGRAM, "train", self.plan["config"], f"run={folder}/run", *words],
                             folder / "log.txt")
        figures = json.loads(run([PROGRAM, "eval", "retrieval", f"{folder}/run", "--shards", test, "--json"]))
        lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        last = [line for line in lines if line["event"] == "train"][-1]
        result = {"method": name, "words": words, "origin": self.origins[phase], "core_seconds": round(seconds, 1), "tau": last["tau"]}
        result |= {key: value for key, value in figures.items() if "R@" in key or key == "num_samples"}
        result["mean_R@10"] = (figures["image_to_text_R@10"] + figures["text_to_image_R@10"]) / 2
        write_aside(file, json.dumps(result, indent=1) + "\n")
        shutil.rmtree(folder)
        return result

    def differences(self, phase, words, known):
        """Why a stored result is not the result of this run."""
        before, now = known.get("origin", {}), self.origins[phase]
        changed = [f"{what} was {before.get(what, 'not recorded')}, is {now[what]}"
                   for what in now if before.get(what) != now[what]]
        return changed if known["words"] == words else ["other settings", *changed]

    def set_aside(self, file, name, differs):
        mark = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        aside = self.results / "set-aside" / file.parent.name / f"{file.stem}.{mark}.json"
        print(f"{name} is run again ({'; '.join(differs)}); old result moved to {aside}\n", end="", flush=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        file.rename(aside)

    def search(self, workers):
        """The best setting of each method."""
        plan, found = self.plan["search"], {}
        for method in self.plan["method"]:
            for number, setting in enumerate(method["settings"]):
                name = f"{method['name'].replace(' ', '-')}-{number}"
                found[method["name"], number] = workers.submit(
                    self.one, "search", name, self.words(method, setting), plan["epochs"], plan["seed"])
        wait(found.values())

        def good(method, number):
            result = found[method["name"], number].result()
            return result["mean_R@10"] if result else -1

        def best(method):
            return max(range(len(method["settings"])), key=lambda number: good(method, number))

        return [(method, method["settings"][best(method)]) for method in self.plan["method"]]

    def final(self, chosen, workers):
        """(method, setting, results of the seeds) for each method, best mean R@10 first."""
        plan, rows = self.plan["final"], []
        for method, setting in chosen:
            name = method["name"].replace(" ", "-")
            rows.append((method, setting, [
                workers.submit(self.one, "final", f"{name}-{seed}", self.words(method, setting), plan["epochs"], seed)
                for seed in plan["seeds"]]))
        wait([run for _, _, runs in rows for run in runs])
        if self.dry:
            return []
        rows = [(method, setting, [run.result() for run in runs]) for method, setting, runs in rows]
        return sorted(rows, key=lambda row: -statistics.mean(both(result, "R@10") for result in row[2]))


def wait(runs):
    """Waits until all are done; raises the error of the first that fails."""
    for run in concurrent.futures.as_completed(runs):
        run.result()


def both(result, metric):
    return (result[f"image_to_text_{metric}"] + result[f"text_to_image_{metric}"]) / 2


def spread(values):
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def table(rows):
    out = ["| method | setting | " + " | ".join(METRICS) + " | τ at the end | core-s a run |",
           "|---|---|" + "---|" * (len(METRICS) + 2)]
    for method, setting, results in rows:
        figures = " | ".join(spread([both(result, metric) for result in results]) for metric in METRICS)
        words = ", ".join(word.partition(".")[2] for word in setting)
        tau = statistics.mean(result["tau"] for result in results)
        seconds = statistics.mean(result["core_seconds"] for result in results)
        out.append(f"| {method['name']} | {words} | {figures} | {tau:.3f} | {seconds:.0f} |")
    return "\n".join(out) + "\n"


def plot(rows):
    """The mean R@10 of each method as a bar, with a dot per seed."""
    left, width, row, top = 130, 430, 26, 34
    largest = max(both(result, "R@10") for _, _, results in rows for result in results)
    unit = width / (1.08 * largest)
    height = top + row * len(rows) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{left + width + 70}" height="{height}" fill="white"/>',
           '<text x="10" y="18">Held-out R@10, mean of both directions; a dot a seed</text>']
    for place, (method, _, results) in enumerate(rows):
        y, values = top + row * place, [both(result, "R@10") for result in results]
        mean = statistics.mean(values)
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{method["name"]}</text>')
        out.append(f'<rect x="{left}" y="{y + 3}" width="{unit * mean:.1f}" height="15" fill="#9bbbd8"/>')
        out += [f'<circle cx="{left + unit * value:.1f}" cy="{y + 10.5}" r="3" fill="#1f4e79"/>' for value in values]
        out.append(f'<text x="{left + unit * max(values) + 10:.1f}" y="{y + 14}">{100 * mean:.1f}</text>')
    base = top + row * len(rows) + 4
    out.append(f'<line x1="{left}" y1="{base}" x2="{left + width}" y2="{base}" stroke="black"/>')
    out += [f'<text x="{left + unit * tick / 100:.1f}" y="{base + 16}" text-anchor="middle">{tick}</text>'
            for tick in range(0, int(100 * largest) + 1, 10)]
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(
        prog="tools/study.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: nohup tools/study.sh > study.log &")
    parser.add_argument("--methods", default=HERE / "methods.toml", type=pathlib.Path, help="methods and settings (default: %(default)s)")
    parser.add_argument("--work", default="build/study", type=pathlib.Path, help="folder for shards and runs (default: %(default)s)")
    parser.add_argument("--results", default=HERE / "results", type=pathlib.Path, help="folder for results (default: %(default)s)")
    parser.add_argument("--list", action="store_true",
                        help="list the runs whose results are missing or do not match, and their cost, and exit")
    parser.add_argument("--jobs", default=os.cpu_count(), type=int, help="number of parallel runs, with one thread each (default: all cores)")
    arguments = parser.parse_args()
    with open(arguments.methods, "rb") as file:
        plan = tomllib.load(file)
    for method in plan["method"]:
        if not 1 <= len(method["settings"]) <= 6:
            sys.exit(f"study: {method['name']} has {len(method['settings'])} settings; list 1 to 6")
    arguments.work.mkdir(parents=True, exist_ok=True)
    shards = prepare(arguments.work, plan["search"]["validation"])
    study = Study(plan, arguments.work, arguments.results, shards, origin_of(shards), dry=arguments.list)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as workers:
        try:
            rows = study.final(study.search(workers), workers)
        except subprocess.CalledProcessError as error:
            workers.shutdown(cancel_futures=True)
            sys.exit(f"study: {' '.join(error.cmd[:3])} … failed with exit code {error.returncode}; see its log.txt under "
                     f"{arguments.work}/runs. Run the same command again to resume")
        except KeyboardInterrupt:
            workers.shutdown(cancel_futures=True)
            sys.exit("study: stopped; run the same command again to resume")
    if arguments.list:
        for name, differs, seconds in sorted(study.missing):
            print(f"{name}: {'; '.join(differs)}" + (f" ({seconds:.0f} core-s before)" if seconds else ""))
        print(f"runs to do: {len(study.missing)}, at least {sum(cost for _, _, cost in study.missing):.0f} core-s")
        return
    write_aside(arguments.results / "results.md", table(rows))
    write_aside(arguments.results / "results.svg", plot(rows))
    print(table(rows) + f"\nwritten: {arguments.results}/results.md and results.svg")


if __name__ == "__main__":
    main()
