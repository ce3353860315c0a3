"""Proves and measures FastCLIP's GPU path on this machine; tools/gpu_check.sh starts it.

Each part has a time limit of its own, and may use what those before it have left. Results are written to --out as they
come; a part that fails or takes too long does not stop the others. Exit code: 0 if all gates passed, 1 if one did not.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback

import correct
import ranks
import speed
from session import NO_GPU, NO_TIME, Failed, Session, show, verdict

# Name, work, seconds at most: together 480, but for `ranks`. `speed` measures as much as its time allows, so it comes
# late; `loader` compares with it.
PARTS = [
    ("fallback", correct.fallback, 25),
    ("machine", correct.machine, 20),
    ("goldens", correct.goldens, 15),
    ("gpu_test", correct.gpu_test, 60),
    ("agreement", correct.agreement, 40),
    ("graphs", correct.graphs, 25),
    ("resume", correct.resume, 40),
    ("sanitizer", correct.sanitizer, 45),
    ("calls", speed.calls, 55),
    ("speed", speed.speed, 130),
    ("loader", speed.loader, 25),
    ("ranks", ranks.ranks, 90),
]
BUILD_SECONDS = 240  # more, if the prebuilt programs do not start
DRY_SECONDS = 180  # two cores that others use too
GRACE_SECONDS = 15  # until a part that forgets the time is stopped


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/gpu_check.sh", description=__doc__.split("\n\n")[0])
    parser.add_argument("--dry", action="store_true", help="all that needs no GPU, on the CPU with tiny sizes")
    parser.add_argument("--ranks", type=int, default=0, metavar="N", help="also compare N ranks with one, one GPU each")
    parser.add_argument("--only", action="append", metavar="PART", choices=[name for name, _, _ in PARTS],
                        help=f"only this part, may be repeated: {', '.join(name for name, _, _ in PARTS)}")
    parser.add_argument("--python", metavar="FILE", help="a Python that has torch (default: the first found)")
    parser.add_argument("--out", default="gpu_check.json", metavar="FILE", help="results (default: gpu_check.json)")
    options = parser.parse_args(words)
    options.out = os.path.abspath(options.out)
    return options


def run_part(session, name, work, seconds):
    print(f"{name} (at most {seconds} s)", flush=True)
    session.part, started = name, time.time()
    session.ends = started + seconds
    signal.alarm(seconds + GRACE_SECONDS)
    try:
        work(session)
    except Failed as error:
        session.record("failed", str(error), "runs", False)
    except Exception as error:  # a slip of this script must not hide the other parts' results
        traceback.print_exc()
        session.record("failed", f"{type(error).__name__}: {error}", "runs", False)
    finally:
        signal.alarm(0)
        session.kill_all()
    session.record("seconds", round(time.time() - started, 1))


def table(session):
    width = max(len(row["name"]) for row in session.rows)
    for row in session.rows:
        if row["name"] == "seconds":
            continue
        gate = f"{row['gate']}: {verdict(row['passed'])}" if row["gate"] else ""
        words = f"{row['part']:9}  {row['name']:{min(width, 72)}}  {show(row['value'])}"
        print(words + (f"  [{gate}]" if gate else ""))


def too_long(*_):
    raise Failed("took too long")


def main(words):
    options = parse(words)
    signal.signal(signal.SIGALRM, too_long)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        session = Session(options, folder)
        ends = time.time()
        for name, work, seconds in PARTS:
            ends += seconds
            if name not in (options.only or [name]):
                continue
            if session.dry:
                seconds = max(seconds, DRY_SECONDS)
            elif name == "fallback":
                seconds += BUILD_SECONDS
            else:
                seconds = round(ends - time.time())
            if seconds < 1:
                session.part = name
                session.not_run("all of it", NO_TIME)
            else:
                run_part(session, name, work, seconds)
            if name == "fallback":
                ends = max(ends, time.time())  # a build takes nothing from the others
    print(f"\nResults of {session.date} ({options.out}):")
    table(session)
    gates = [row for row in session.rows if row["gate"]]
    failed = [row for row in gates if not row["passed"]]
    absent = [row["value"] for row in session.rows if row["value"] in (f"not run: {NO_GPU}", f"not run: {NO_TIME}")]
    print(f"\n{len(gates) - len(failed)} of {len(gates)} gates passed in {time.time() - session.started:.0f} s"
          + "".join(f"; {absent.count(why)} of the results {why}" for why in sorted(set(absent))))
    proved = [row["value"] for row in session.rows if row["name"] == correct.PROVED]
    if proved and not failed and not options.only:
        print(f"To be marked as proved in kGpuSettings of trainer/run/start_check.cc: {', '.join(proved)}")
    for row in failed:
        print(f"FAILED: {row['part']}: {row['name']}: {show(row['value'])}, asked: {row['gate']}")
    return 1 if failed or not gates else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
