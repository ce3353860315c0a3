"""Compares the loaders of FastCLIP, DALI on the CPU, and OpenCLIP (webdataset, Pillow): samples/s, CPU and memory.

The loaders alternate on the same shards, with the same crop: RandomResizedCrop, area 0.9 to 1, ratio 3/4 to 4/3,
bicubic. Each slice is a process of its own; its imports, setup and first batches are not measured. The list is repeated
up to 20,000 records, as links in a temporary folder, so that starts of epochs do not count; files come from the page
cache. A slice of FastCLIP is the median of three or more parts, from an empty loader to its last batch; a slice of the
others is complete rounds of workers.

CPU is the user and system time of all processes of a loader. Memory is the peak above the start of the loader: the
kernel's figure for FastCLIP, samples between batches for the others (a page shared by n processes counts 1/n in each).

example: tools/peers.sh pipeline 'cc3m/{00000..00031}.tar' 30 --json
"""

import argparse
import functools
import glob
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace

THREADS, SIZE, BATCH, ROUNDS = 2, 224, 256, 3
RECORDS = 20_000  # of the repeated list, at least
WARM_UP = 4  # batches of each worker
STOPPERS = (signal.SIGINT, signal.SIGTERM)
DOES = {
    "fastclip": "decodes what the crop needs, resizes bit-identically to Pillow, to uint8; tokenizes the captions",
    "dali": "decodes what the crop needs, resizes with antialiasing, to uint8; no captions",
    "webdataset": "OpenCLIP's loader and transform: whole images, to float32, normalized; tokenizes the captions",
}


def processes(pid):
    """A process and all below it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from processes(child)


def core_seconds():
    # Behind the name: user and system time, and those of children that ended, are the words 12 to 15.
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in processes("self"))
    return sum(int(ticks) for words in stats for ticks in words[11:15]) / os.sysconf("SC_CLK_TCK")


def memory_mb():
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes("self"))
    return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups) * 1024 / 1e6


def measure(next_shape, shape, workers, seconds, start_mb):
    """`next_shape` takes a batch, each worker's in turn, and gives the shape of its pictures."""
    found, peak = tuple(next_shape()), 0
    if found != shape:
        sys.exit(f"a batch has shape {found}, not {shape}")
    for _ in range(WARM_UP * workers - 1):
        peak = max(peak, memory_mb())  # takes a while: not behind the last batch, where the clock starts
        next_shape()
    count, core, begin = 0, core_seconds(), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(workers):
            next_shape()
        count += workers * BATCH
    wall, core = time.perf_counter() - begin, core_seconds() - core
    return {"samples_per_second": count / wall, "cpu_ms_per_sample": 1e3 * core / count,
            "peak_mb": max(peak, memory_mb()) - start_mb, "processes": list(processes("self"))}


def slice_of_dali(files, seconds):
    from nvidia.dali import __version__, fn, pipeline_def, types
    start_mb = memory_mb()

    @pipeline_def(batch_size=BATCH, num_threads=THREADS, device_id=None, seed=1)
    def pictures():
        encoded = fn.readers.webdataset(paths=files, ext="jpg;png;jpeg;webp", random_shuffle=True, initial_fill=1024,
                                        missing_component_behavior="skip")
        cropped = fn.decoders.image_random_crop(encoded, device="cpu", random_area=[0.9, 1.0],
                                                random_aspect_ratio=[3 / 4, 4 / 3], num_attempts=10)
        return fn.resize(cropped, size=[SIZE, SIZE], interp_type=types.INTERP_CUBIC, antialias=True)

    pipeline = pictures()
    pipeline.build()
    figures = measure(lambda: pipeline.run()[0].as_tensor().shape(), (BATCH, SIZE, SIZE, 3), 1, seconds, start_mb)
    return {"version": f"DALI {__version__}, CPU", **figures}


def slice_of_webdataset(files, seconds):
    from open_clip import SimpleTokenizer, image_transform
    from open_clip_train import data
    import PIL
    import webdataset

    # OpenCLIP's loader does not know the marks that webdataset since 0.2.96 puts between shards.
    data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
    start_mb = memory_mb()
    options = SimpleNamespace(
        train_data="::".join(files), train_num_samples=10**9, train_data_upsampling_factors=None,
        dataset_resampled=False, seed=1, batch_size=BATCH, workers=THREADS, world_size=1)
    loader = data.get_wds_dataset(options, image_transform(SIZE, True), True, tokenizer=SimpleTokenizer()).dataloader
    batches = iter(loader)
    figures = measure(lambda: next(batches)[0].shape, (BATCH, 3, SIZE, SIZE), THREADS, seconds, start_mb)
    return {"version": f"webdataset {webdataset.__version__}, Pillow {PIL.__version__}", **figures}


def sweep(pids):
    """A worker of torch that is ended while it shares a batch leaves that in memory, as a file."""
    for path in (path for pid in pids for path in glob.glob(f"/dev/shm/torch_{pid}_*")):
        os.unlink(path)


def run(*words):
    """What the program prints, as JSON. Nothing of it outlives a call that is interrupted."""
    with Popen(words, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True) as child:
        try:
            out, errors = child.communicate()
        except BaseException:
            os.killpg(child.pid, signal.SIGSTOP)  # none comes or goes while they are listed
            try:
                below = list(processes(child.pid))
            finally:
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()  # ends when the last of them has let go of its output
            sweep(below)
            raise
    if child.returncode != 0:
        sys.exit(f"{errors}peers: '{' '.join(words)[:200]}' failed ({child.returncode})")
    found = json.loads(out)
    sweep(found.pop("processes", []))
    return found


def slice_of(name, folder, seconds, dali):
    if name != "fastclip":
        return run(dali if name == "dali" else sys.executable, __file__, "--slice", name, folder, str(seconds))
    found = run("build/fastclip", "bench", "pipeline", "--shards", f"{folder}/*.tar", "--size", str(SIZE), "--threads",
                str(THREADS), "--batch", str(BATCH), "--seconds", str(3 * seconds), "--json")  # a third is the loader's
    return {"version": "FastCLIP", "peak_mb": found["peak_rss_mb"],
            **{key: found[key] for key in ("samples_per_second", "cpu_ms_per_sample", "decode_only_per_second")}}


def link_shards(files, folder):
    """Links to the files, over and over, in `folder`; the number of records of the files, and of all links."""
    def link(first, last):
        for i in range(first, last):
            file = files[i % len(files)]
            os.symlink(os.path.realpath(file), f"{folder}/{i:06}-{os.path.basename(file)}")
        return run("build/fastclip", "shards", "info", f"{folder}/*.tar", "--json")["records"]

    once = link(0, len(files)) or sys.exit("peers: the shards have no records")
    times = max(1, -(-RECORDS // once), -(-THREADS // len(files)))  # a worker of webdataset needs a shard of its own
    return once, link(len(files), times * len(files))


def stop(number, _):
    for other in STOPPERS:
        signal.signal(other, signal.SIG_IGN)  # what ends the slice is not to be interrupted itself
    sys.exit(128 + number)


def spread(values):
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high]}


def compare(files, seconds, dali):
    rounds = {name: [] for name in DOES}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        once, records = link_shards(files, folder)
        for turn in range(ROUNDS):
            for name, slices in rounds.items():
                slices.append(slice_of(name, folder, seconds, dali))
                rate = slices[-1]["samples_per_second"]
                print(f"round {turn + 1}, {slices[-1]['version']}: {rate:.0f} samples/s", file=sys.stderr)
    loaders = {}
    ours = [s["samples_per_second"] for s in rounds["fastclip"]]
    for name, slices in rounds.items():
        rates = [s["samples_per_second"] for s in slices]
        loaders[name] = {"version": slices[0]["version"], "does": DOES[name], "samples_per_second": spread(rates),
                         "cpu_ms_per_sample": statistics.median(s["cpu_ms_per_sample"] for s in slices),
                         "peak_mb": max(s["peak_mb"] for s in slices)}
        if name != "fastclip":
            loaders[name]["fastclip_is"] = spread([a / b for a, b in zip(ours, rates)])
    return {"threads": THREADS, "size": SIZE, "batch": BATCH, "rounds": ROUNDS, "seconds_per_slice": seconds,
            "records": once, "records_with_repeats": records, "loaders": loaders,
            "decode_only_per_second": statistics.median(s["decode_only_per_second"] for s in rounds["fastclip"])}


def words_of(numbers, digits):
    return "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(numbers["median"], *numbers["quartiles"], d=digits)


def table(found):
    lines = ["{threads} threads or workers, {size} px, batch {batch}, {rounds} rounds of {seconds_per_slice:g} s;"
             " {records} records, repeated to {records_with_repeats}; median (quartiles)".format(**found),
             f"{'':34} {'samples/s':>17} {'CPU ms/sample':>16} {'memory MB':>10}   FastCLIP is"]
    for loader in found["loaders"].values():
        rate, times = words_of(loader["samples_per_second"], 0), loader.get("fastclip_is")
        lines.append(f"{loader['version']:34} {rate:>17} {loader['cpu_ms_per_sample']:16.2f} {loader['peak_mb']:10.0f}"
                     + (f"   {words_of(times, 2)} times as fast" if times else ""))
    lines.append(f"{'decoding whole images only':34} {found['decode_only_per_second']:17.0f}")
    return "\n".join(lines + [f"{loader['version']}: {loader['does']}" for loader in found["loaders"].values()])


def files_of(shards):
    """The files of a list in the program's notation. Throws ValueError."""
    from braceexpand import braceexpand
    names = [name for part in shards.split("::") for name in braceexpand(part)]
    for name in names:
        if not name.endswith(".tar") or not glob.glob(name):
            raise ValueError(f"'{name}': no such tar shard")
    return [file for name in names for file in sorted(glob.glob(name))]


def main():
    parser = argparse.ArgumentParser(prog="tools/peers.sh pipeline", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="?", default="build/quickstart/train/*.tar",
                        help="tar shards: braces, globs, :: (default: %(default)s)")
    parser.add_argument("seconds", nargs="?", type=float, default=10, help="seconds per slice, 1 to 600 (default: %(default)g)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--dali", required=True, help=argparse.SUPPRESS)  # its Python, from tools/peers.sh
    words = parser.parse_args()
    if not 1 <= words.seconds <= 600:
        parser.error(f"seconds must be from 1 to 600, not {words.seconds:g}")
    if not os.access("build/fastclip", os.X_OK):
        parser.error("build/fastclip is missing; build it first")
    try:
        files = files_of(words.shards)
    except ValueError as error:
        parser.error(str(error))
    for number in STOPPERS:
        signal.signal(number, stop)
    found = compare(files, words.seconds, words.dali)
    print(json.dumps(found, indent=1) if words.json else table(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--slice"]:
        peer, place, length = sys.argv[2:]
        slice_of_peer = slice_of_dali if peer == "dali" else slice_of_webdataset
        print(json.dumps(slice_of_peer(sorted(glob.glob(f"{place}/*.tar")), float(length))))
    else:
        main()
