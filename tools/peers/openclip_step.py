"""Times complete training steps of OpenCLIP in Python on the inputs of `fastclip bench step --inputs FILE`.

usage: openclip_step.py FILE.safetensors [--device cuda] [--precision amp_bf16] [--compile] [--rows N[,N…]]
                        [--seconds S] [--steps N]
--rows: N, or N/PARTS to accumulate gradients over that many parts, in two passes as OpenCLIP's --accum-freq does.
It first compares a forward pass on the CPU with FILE's features of the same weights. A step is towers, OpenCLIP's loss,
backward and fused AdamW. Prints one JSON object with the keys of `fastclip bench step --json`, or one line for each
number of --rows, for which FILE's rows are repeated. --steps: so many steps of full captions, not timed.
On a GPU a step includes the copy of the batch from pinned memory and, as in OpenCLIP's loop, no wait for the loss.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from open_clip.loss import ClipLoss
from open_clip.model import CLIP
from safetensors import safe_open
from safetensors.torch import load_file


def make_model(setup, tensors):
    words = setup["model"]
    model = CLIP(words["embed_dim"], words["vision_cfg"], words["text_cfg"], words["quick_gelu"])
    weights = {n.removeprefix("weight/"): t for n, t in tensors.items() if n.startswith("weight/")}
    model.load_state_dict(weights, strict=True)
    return model.to(torch.float64 if setup["precision"] == "fp64" else torch.float32).train()


def make_optimizer(model, setup):
    """OpenCLIP's two parameter groups: tensors of fewer than two dimensions, norms and biases have no weight decay."""
    decay, keep = [], []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (keep if plain else decay).append(parameter)
    words = setup["optimizer"]
    groups = [{"params": keep, "weight_decay": 0.0}, {"params": decay, "weight_decay": words["weight_decay"]}]
    betas = (words["beta1"], words["beta2"])
    return torch.optim.AdamW(groups, lr=words["lr"], betas=betas, eps=words["eps"], fused=True)


class Steps:
    """Training steps of a model on the same inputs, from memory of the host."""

    def __init__(self, model, optimizer, setup, device, compiled):
        self.model, self.optimizer, self.device = model, optimizer, torch.device(device)
        self.dtype = {"amp": torch.float16, "amp_bf16": torch.bfloat16}.get(setup["precision"])
        self.scaler = torch.amp.GradScaler(device, enabled=device == "cuda" and setup["precision"] == "amp")
        # Each number of rows for itself, as in a training run.
        self.features = torch.compile(self.both, dynamic=False) if compiled else self.both
        self.loss_of = ClipLoss()
        self.parts = 1

    def both(self, images, tokens):
        return self.model.encode_image(images, normalize=True), self.model.encode_text(tokens, normalize=True)

    def autocast(self):
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def backward(self, images, tokens):
        parts = list(zip(images.chunk(self.parts), tokens.chunk(self.parts)))
        known = []
        if len(parts) > 1:
            with torch.no_grad(), self.autocast():
                known = [self.features(*part) for part in parts]
        for i, part in enumerate(parts):
            with self.autocast():
                both = self.features(*part)
                if known:  # those of the other parts have no gradient
                    both = [torch.cat(side) for side in zip(*known[:i], both, *known[i + 1:])]
                loss = self.loss_of(*both, self.model.logit_scale.exp())
            self.scaler.scale(loss).backward()
        return loss

    def __call__(self, images, tokens):
        images, tokens = (part.to(self.device, non_blocking=True) for part in (images, tokens))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.backward(images, tokens)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, 4.6052)
        if self.device.type == "cpu":
            loss.item()


def time_steps(step, images, tokens, seconds):
    if step.device.type == "cuda":
        return time_on_gpu(step, images, tokens, seconds)
    rows = len(images)
    wall, core = [], []
    started = time.perf_counter()
    while len(wall) < 2 or (time.perf_counter() - started < seconds):
        t, c = time.perf_counter(), time.process_time()
        step(images, tokens)
        wall.append(time.perf_counter() - t)
        core.append(time.process_time() - c)
    wall, core = statistics.median(wall[1:]), statistics.median(core[1:])
    return {
        "samples_per_second": rows / wall,
        "samples_per_core_second": rows / core,
        "step_ms": 1000 * wall,
    }


def time_on_gpu(step, images, tokens, seconds):
    for _ in range(3):  # compiles, and allocates what the others find
        step(images, tokens)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    core, started, count = time.process_time(), time.perf_counter(), 0
    while count < 2 or time.perf_counter() - started < seconds:
        step(images, tokens)
        count += 1
        if count % 4 == 0:  # so that the host is not ahead by seconds
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    wall, core = (time.perf_counter() - started) / count, (time.process_time() - core) / count
    return {
        "samples_per_second": len(images) / wall,
        "samples_per_core_second": len(images) / core,
        "step_ms": 1000 * wall,
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 1e6,
    }


def repeated(tensor, rows, device):
    longer = tensor.repeat(-(-rows // len(tensor)), *[1] * (tensor.ndim - 1))[:rows].contiguous()
    return longer.pin_memory() if device == "cuda" else longer


def sizes(text):
    """Rows and parts of each size."""
    return [(int(rows), int(parts or 1)) for rows, _, parts in (word.partition("/") for word in text.split(","))]


def parse(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rows", type=sizes, default=[(0, 1)])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--steps", type=int, default=0)
    return parser.parse_args(words)


def main(words):
    asked = parse(words)
    path = asked.path
    with safe_open(path, "pt") as file:
        setup = json.loads(file.metadata()["setup"])
    setup["precision"] = asked.precision or setup["precision"]
    setup["seconds"] = setup["seconds"] if asked.seconds is None else asked.seconds
    torch.set_num_threads(setup["threads"])
    # As in OpenCLIP's training.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True
    tensors = load_file(path)
    model = make_model(setup, tensors)
    dtype = next(model.parameters()).dtype
    images = tensors["images"].to(dtype).contiguous()
    model.eval()  # a ResNet's features in training would follow the batch
    with torch.no_grad():
        for side, features in {
            "image": model.encode_image(images, normalize=True),
            "text": model.encode_text(tensors["tokens/real"], normalize=True),
        }.items():
            difference = (features - tensors[f"{side}_features"]).abs().max().item()
            if difference > 1e-5:
                sys.exit(f"{side} features differ by {difference} (at most 1e-5): the models are not the same")
    model.to(asked.device).train()
    step = Steps(model, make_optimizer(model, setup), setup, asked.device, asked.compile)
    for count, parts in asked.rows:
        rows, step.parts = count or len(images), parts
        batch = repeated(images, rows, asked.device)
        texts = {length: repeated(tensors[f"tokens/{length}"], rows, asked.device) for length in ("real", "full")}
        for _ in range(asked.steps):
            step(batch, texts["full"])
        result = {"peer": "OpenCLIP 3.3.0 in Python", "threads": setup["threads"], "rows": rows, "steps": asked.steps}
        if not asked.steps:
            for length, tokens in texts.items():
                result[length] = time_steps(step, batch, tokens, setup["seconds"])
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
