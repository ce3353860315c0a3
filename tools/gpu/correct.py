"""Parts of gpu_check.py that ask whether the GPU's results are right."""

import json
import os
import re
import signal
import time

from session import TOP, Failed

# How far a loss may be from the CPU's in float32, over the steps in which rounding has not yet grown.
LOSS_GATES = {"fp32": (1e-3, 20), "amp_bf16": (0.1, 50), "amp": (0.05, 50)}

# The row that names settings of kGpuSettings (trainer/run/start_check.cc) that this GPU shows to work.
PROVED = "settings proved on this GPU"


def machine(session):
    """Versions, and how fast copies and products are."""
    words = [session.python, "tools/gpu/bandwidth.py", session.device]
    for name, value in json.loads(session.run(words)).items():
        session.record(name, value)
    version = " · ".join(session.fastclip("--version").strip().splitlines())
    session.record("fastclip", version)
    if session.dry:
        session.not_run("driver")
        return
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    session.record("driver", session.run(query).strip().replace("\n", " · "))


def tests_of(session, name):
    """What became of each test of a program, by its name: passed, skipped or failed; and why some were skipped."""
    file = session.folder / f"{name}.json"
    out = session.run([session.program(name), f"--gtest_output=json:{file}"], code=None)
    if not file.exists():
        raise Failed(f"{name} ended before its summary: {' | '.join(out.strip().splitlines()[-2:]) or 'no output'}")
    results = {}
    for suite in json.loads(file.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            passed = "skipped" if test["result"] == "SKIPPED" else "passed"
            results[f"{suite['name']}.{test['name']}"] = "failed" if "failures" in test else passed
    return results, sorted(set(re.findall(r"Skipped\n(.*)", out)))


def proved_kernels(results):
    """The kernels of attention with which all tests passed. FastCLIP uses none for a single query."""
    for kernel in ("flash", "mem_efficient", "cudnn", "math"):
        tests = [result for name, result in results.items() if f"/{kernel}_" in name and "OfOneQuery" not in name]
        if tests and set(tests) == {"passed"}:
            yield f'train.attention = "{kernel}"'


def gpu_test(session):
    """The unit tests of the GPU path. Without a GPU they must be skipped, each by name."""
    results, reasons = tests_of(session, "gpu_test")
    for reason in reasons[:8]:
        session.record("skipped because", reason)
    for name in [name for name, result in results.items() if result == "failed"][:12]:
        session.record("failed", name)
    count = {result: list(results.values()).count(result) for result in ("passed", "skipped", "failed")}
    if session.dry:
        all_skipped = count["skipped"] == len(results) and all("no GPU" in reason for reason in reasons)
        session.record("without a GPU each is skipped by name", count, "all skipped", all_skipped)
        session.not_run("tests on the GPU")
    else:
        session.record("tests", count, "none failed", count["failed"] == 0 and count["passed"] > 0)
        if kernels := list(proved_kernels(results)):
            session.record(PROVED, ", ".join(kernels))


def goldens(session):
    """The reference implementations' values, on this machine's CPU; gpu_test compares the GPU with the CPU."""
    for name in ("objective_golden_test", "tower_golden_test"):
        results, _ = tests_of(session, name)
        count = {result: list(results.values()).count(result) for result in ("passed", "skipped", "failed")}
        session.record(name, count, "none failed", count["failed"] == 0 and count["passed"] > 0)


def largest_difference(one, other, steps):
    shared = sorted(set(one) & set(other))[:steps]
    if not shared:
        raise Failed("the runs have no step in common")
    if any(one[s]["refused_steps"] or other[s]["refused_steps"] for s in shared):
        raise Failed("a step was not finite")
    return max(abs(one[s]["contrastive_loss"] - other[s]["contrastive_loss"]) for s in shared), len(shared)


def agreement(session):
    """The same training steps as on the CPU, in each precision."""
    session.fastclip(*session.train_words("cpu", device="cpu"))
    for precision, (bound, steps) in LOSS_GATES.items():
        if session.dry:  # of 8 rows a step: small differences grow fast
            steps = min(steps, 5)
        name = f"{precision}, largest difference of a loss from the CPU's"
        run = f"agree-{precision}"
        try:
            session.fastclip(*session.train_words(run, f"train.precision={precision}"))
            difference, compared = largest_difference(session.metrics("cpu"), session.metrics(run), steps)
            if session.dry:
                name = f"{precision} on the CPU, largest difference of a loss from float32's"
            session.record(f"{name}, {compared} steps", difference, f"at most {bound}", difference <= bound)
        except Failed as error:
            session.record(name, str(error), f"at most {bound}", False)
    if session.dry:
        session.not_run("the same on the GPU")


def graphs(session):
    """Steps that are recorded once and repeated, and images plane by plane: the same losses."""
    words = ["model.trim_text=false"]
    session.fastclip(*session.train_words("eager", *words))
    pairs = [("channels_last=false", "images plane by plane")]
    if session.dry:
        said = session.run([session.program(), *session.train_words("recorded", *words, "train.cuda_graphs=true")],
                           code=2, merged=True)
        named = "train.cuda_graphs: needs a GPU" in said
        session.record("without a GPU train.cuda_graphs is refused by name", named, "yes", named)
        session.not_run("recorded steps")
    else:
        pairs.append(("cuda_graphs=true", "recorded steps"))
    agrees = {}
    for key, name in pairs:
        session.fastclip(*session.train_words(key, *words, f"train.{key}"))
        difference, steps = largest_difference(session.metrics("eager"), session.metrics(key), 20)
        agrees[key] = difference <= 1e-3
        session.record(f"{name}, largest difference of a loss, {steps} steps", difference, "at most 1e-3", agrees[key])
    if agrees.get("cuda_graphs=true"):
        session.record(PROVED, "train.cuda_graphs = true")


def resume(session):
    """Kill -9 in mid-run, then resume; and OpenCLIP loads the result."""
    # A GPU is through with few steps before they can be seen.
    words = ["checkpoint.every_steps=5", *([] if session.dry else ["train.epochs=8"])]
    session.fastclip(*session.train_words("whole", *words))
    process = session.start([session.program(), *session.train_words("cut", *words)])
    while process.poll() is None and max(session.metrics("cut"), default=0) < 8:
        if session.seconds_left() < 1:
            session.kill(process)
            raise Failed("the run that is to be killed did not reach step 8")
        time.sleep(0.005)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    session.record("killed by kill -9 after step", max(session.metrics("cut"), default=0), "in mid-run", killed)
    session.fastclip(*session.train_words("cut", *words, "resume=true"))
    whole, cut = session.metrics("whole"), session.metrics("cut")
    session.record("steps after the resume", len(cut), f"{len(whole)}", sorted(cut) == sorted(whole))
    difference, _ = largest_difference(whole, cut, len(whole))
    bound = 0 if session.dry else 1e-2
    session.record("largest difference of a loss from the run that was not killed", difference, f"at most {bound}",
                   difference <= bound)

    checkpoints = session.folder / "cut/checkpoints"
    last = max(checkpoints.glob("step_*"), key=lambda path: int(path.name.removeprefix("step_")))
    out = session.run([session.program("openclip_peer_test"), "--gtest_filter=*LoadsOurWeights*"], code=None,
                      FASTCLIP_CHECKPOINT=str(last))
    if "[  SKIPPED ]" in out:
        session.not_run("OpenCLIP loads the checkpoint", "no OpenCLIP in this Python")
    passed = "[  PASSED  ] 1 test" in out and "SKIPPED" not in out
    session.record("OpenCLIP loads the checkpoint, features agree to 1e-5", passed, "yes", passed)


def sanitizer(session):
    """Three tiny steps under compute-sanitizer's memcheck."""
    tool = session.tool("compute-sanitizer")
    words = session.train_words("sanitized", "train.epochs=1", "data.train=synthetic:24", "train.batch_size=8",
                                "learning_rate.warmup=1")
    if session.dry:
        session.fastclip(*words)
        session.record("the three steps run on the CPU", len(session.metrics("sanitized")), "3",
                       len(session.metrics("sanitized")) == 3)
        session.not_run("compute-sanitizer")
    elif tool is None:
        session.not_run("compute-sanitizer", "not installed")
    else:
        session.run([tool, "--tool", "memcheck", "--error-exitcode", "9", session.program(), *words])
        session.record("errors of memcheck in three steps", 0, "0", True)


def fallback(session):
    """Where the prebuilt program does not start, the sources are built."""
    if not (TOP / "prebuilt").exists():
        session.not_run("configure with the bundle's libraries", "not a bundle")
        return
    starts = True
    try:
        session.fastclip("--version")
    except Failed as error:
        session.record("the prebuilt program does not start", str(error))
        starts = False
    debian, build = TOP / "debian", session.folder / "build"
    packages = debian / "usr/lib/x86_64-linux-gnu/pkgconfig"
    environment = {"PKG_CONFIG_LIBDIR": f"{packages}:{debian}/usr/share/pkgconfig",
                   "PKG_CONFIG_SYSROOT_DIR": str(debian),
                   "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}
    prefix = session.python.parent.parent
    missing = [name for name in ("cmake", "pkg-config", "c++") if session.tool(name) is None]
    if missing:
        session.not_run("build from the sources", f"no {', '.join(missing)}")
        if not starts:
            raise Failed("neither the prebuilt program starts nor can it be built")
        return
    words = ["cmake", "-S", TOP, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DFASTCLIP_CUDA=ON",
             f"-DFASTCLIP_VENV={prefix}", f"-DFASTCLIP_CUDA_VENV={prefix}", f"-DCMAKE_PREFIX_PATH={debian}/usr"]
    session.run([*words, *(["-GNinja"] if session.tool("ninja") else [])], **environment)
    cache = (build / "CMakeCache.txt").read_text()
    found = r"^(\w*(?:TBB|JPEG|PNG|GIF|ZLIB|ICU|fmt)\w*_(?:LIBRARY_RELEASE|INCLUDE_DIR|DIR)):\w+=(/usr/.*)$"
    outside = re.findall(found, cache, re.MULTILINE)
    session.record("configure with the bundle's libraries", "others: " + ", ".join(map(str, outside[:3])) if outside
                   else "found all in the bundle", "all in the bundle", not outside)
    if not starts:
        targets = ["fastclip", "fastclip_nccl", "gpu_test", "openclip_peer_test", "fastclip_gpu_calls",
                   "objective_golden_test", "tower_golden_test"]
        session.run(["cmake", "--build", build, "-j", os.cpu_count(), "--target", *targets], **environment)
        session.programs = build
        session.record("built from the sources", True, "yes", True)
