#!/usr/bin/env python3
"""Compiles the sources that touch what differs between LibTorch 2.11 and 2.15 against 2.11's headers (syntax only).

usage: tests/check_torch.py [FILE …]
Needs the headers (tools/setup.sh --torch-2.11) and a configured build/. That all sources build against 2.11 is shown by
tools/gpu_bundle.sh.
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
HEADERS = TOP / "build/torch-2.11-headers/torch"
# The only users of c10d's backends, of CUDA graphs, of autograd's nodes, of NCCL, and of the inside of LibTorch's devices.
FILES = [
    "comm/c10d_communicator.cc",
    "comm/cuda_graph.cc",
    "comm/nccl_library.cc",
    "tests/support/stand_in_attention.cc",
    "tests/support/stand_in_device.cc",
    "trainer/model/recompute.cc",
    "trainer/step/gradient_reducer.cc",
]
OF_CUDA = ("comm/cuda_graph.cc", "comm/nccl_library.cc")  # compiled with -DFASTCLIP_CUDA=ON


def commands():
    listed = json.loads((TOP / "build/compile_commands.json").read_text())
    return {os.path.relpath(entry["file"], TOP): entry for entry in listed}


def with_headers(command):
    """The command with the other headers, without its output and without precompiled headers."""
    words, kept = shlex.split(command), []
    while words[0].endswith(("ccache", "cmake")) or words[0] in ("-E", "env") or "=" in words[0]:
        words.pop(0)
    while words:
        word = words.pop(0)
        if word in ("-o", "-include"):
            words.pop(0)
        elif word not in ("-c", "-Winvalid-pch"):
            kept.append(word)
    flags = []
    for word in kept:
        before, found, after = word.partition("/site-packages/torch/include")
        flags.append(f"{HEADERS}/include{after}" if found else word)
    return [*flags, "-include", "ATen/ATen.h", "-fsyntax-only"]


def check(entry):
    done = subprocess.run(with_headers(entry["command"]), cwd=entry["directory"], capture_output=True, text=True)
    return done.returncode, done.stderr


def main(files):
    if not (HEADERS / "version.py").exists():
        sys.exit("check_torch: no headers in build/torch-2.11-headers; run tools/setup.sh --torch-2.11")
    known = commands()
    # Without -DFASTCLIP_CUDA=ON nothing knows NCCL's headers.
    files = files or [name for name in FILES if name in known or name not in OF_CUDA]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (code, errors) in zip(files, pool.map(lambda name: check(known[name]), files), strict=True):
            print(f"{name} against LibTorch 2.11: {'compiles' if code == 0 else 'FAILED'}")
            if code != 0:
                failed = True
                print(errors[-4000:], file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
