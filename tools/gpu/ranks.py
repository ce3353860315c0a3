"""Part of check.py for several GPUs: equality, a killed rank, bus bandwidth; in a dry run on the CPU, over Gloo."""

import json
import os
import pathlib
import signal
import time

from correct import largest_difference
from session import Failed

TIMEOUT = 20  # comm.timeout of the run whose rank is killed, in seconds


def ranks(session):
    count = session.options.ranks
    if count < 2:
        session.not_run("several ranks", "--ranks N was not given")
        return
    over = f"{count} ranks over {'Gloo' if session.dry else 'NCCL'}"
    session.fastclip(*session.train_words("one-rank"), "pipeline.threads=1")
    session.fastclip(*session.train_words("ranks"), "--ranks", count)
    difference, steps = largest_difference(session.metrics("one-rank"), session.metrics("ranks"), 20)
    session.record(f"{over}: largest difference of a loss from one rank's, {steps} steps", difference, "at most 1e-3",
                   difference <= 1e-3)
    killed_rank(session, count, over)
    words = [session.python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count,
             "tools/gpu/bandwidth.py", session.device, "--ranks"]
    printed = session.run(words, GLOO_SOCKET_IFNAME="lo")
    session.record(f"all-reduce, {over}, bus GB/s", json.loads(printed.strip().splitlines()[-1])["bus GB/s"])


def rank_of(pid):
    """A process's rank, as its environment says."""
    for word in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if word.startswith(b"RANK="):
            return int(word[5:])
    return -1


def killed_rank(session, count, over):
    words = session.train_words("killed", "train.epochs=200", f"comm.timeout={TIMEOUT}")
    process = session.start([session.program(), *words, "--ranks", count])
    while max(session.metrics("killed"), default=0) < 5:
        if process.poll() is not None or session.seconds_left() < 1:
            session.kill(process)
            raise Failed("the run whose rank is to be killed did not reach step 5: "
                         + process.log.read_text()[-400:])
        time.sleep(0.02)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    victim = next(pid for pid in map(int, children) if rank_of(pid) == count - 1)
    os.kill(victim, signal.SIGKILL)
    killed = time.time()
    session.wait(process, TIMEOUT + 30)
    took = time.time() - killed
    said = process.log.read_text(errors="replace")
    named = any(f"rank {count - 1} " in line and ("killed" in line or "answer" in line)
                for line in said.splitlines() if line.startswith("fastclip train: rank 0"))
    session.record(f"{over}: rank 0 names the killed rank", named, "yes", named)
    session.record(f"{over}: seconds until all ranks have ended", took, f"at most {TIMEOUT + 10}", took <= TIMEOUT + 10)
