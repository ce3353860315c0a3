"""Prints versions, copy bandwidths and the speed of matrix products as one JSON object.

usage: bandwidth.py cuda|cpu, or under torchrun: bandwidth.py cuda|cpu --ranks
--ranks: bus bandwidth of an all-reduce over the ranks, from rank 0.
"""

import json
import os
import sys
import time

import torch


def seconds_of(work, device, times=5):
    work()
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    for _ in range(times):
        work()
    wait()
    return (time.perf_counter() - started) / times


def one(device):
    on_gpu = device == "cuda"
    size = (1 << 30) if on_gpu else (1 << 26)
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    result = {"torch": torch.__version__, "cores": os.cpu_count()}
    if on_gpu:
        result |= {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version(),
                   "NCCL": ".".join(map(str, torch.cuda.nccl.version())), "GPU": torch.cuda.get_device_name(0)}
        host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        for way, to, of in (("from", source, host), ("to", host, source)):
            seconds = seconds_of(lambda to=to, of=of: to.copy_(of, non_blocking=True), device)
            result[f"GB/s {way} pinned memory"] = size / 1e9 / seconds
    # Counted as read and written.
    seconds = seconds_of(lambda: target.copy_(source), device)
    result[f"GB/s within the {'GPU' if on_gpu else 'CPU'}"] = 2 * size / 1e9 / seconds
    n = 8192 if on_gpu else 512
    a = torch.randn(n, n, device=device).to(torch.bfloat16)
    result[f"TFLOP/s of a bfloat16 product of {n}"] = 2 * n**3 / 1e12 / seconds_of(lambda: a @ a, device)
    return result


def over_ranks(device):
    import torch.distributed as dist

    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    elements = (64 << 20) if device == "cuda" else (1 << 20)
    values = torch.ones(elements, device=device)
    seconds = seconds_of(lambda: dist.all_reduce(values), device)
    dist.destroy_process_group()
    return {"bus GB/s": 2 * (ranks - 1) / ranks * 4 * elements / 1e9 / seconds} if rank == 0 else None


if __name__ == "__main__":
    found = over_ranks(sys.argv[1]) if "--ranks" in sys.argv else one(sys.argv[1])
    if found is not None:
        print(json.dumps(found))
