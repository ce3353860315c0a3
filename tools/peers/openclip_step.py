"""Times complete training steps of OpenCLIP in Python on the inputs of `fastclip bench step --inputs FILE`.

usage: openclip_step.py FILE.safetensors
It first compares a forward pass with FILE's features of the same weights. A step is towers, OpenCLIP's loss, backward
and fused AdamW. Prints one JSON object with the keys of `fastclip bench step --json`.
"""

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


def autocast(setup):
    dtype = {"amp": torch.float16, "amp_bf16": torch.bfloat16}.get(setup["precision"])
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not None)


def time_steps(model, optimizer, images, tokens, setup):
    seconds = setup["seconds"]
    loss_of = ClipLoss()
    rows = len(images)
    wall, core = [], []
    started = time.perf_counter()
    while len(wall) < 2 or (time.perf_counter() - started < seconds):
        t, c = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with autocast(setup):
            features = model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)
            loss = loss_of(*features, model.logit_scale.exp())
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        loss.item()
        wall.append(time.perf_counter() - t)
        core.append(time.process_time() - c)
    wall, core = statistics.median(wall[1:]), statistics.median(core[1:])
    return {
        "samples_per_second": rows / wall,
        "samples_per_core_second": rows / core,
        "step_ms": 1000 * wall,
    }


def main(path):
    with safe_open(path, "pt") as file:
        setup = json.loads(file.metadata()["setup"])
    torch.set_num_threads(setup["threads"])
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
    model.train()
    optimizer = make_optimizer(model, setup)
    result = {"peer": "OpenCLIP 3.3.0 in Python", "threads": setup["threads"]}
    for length in ("real", "full"):
        result[length] = time_steps(model, optimizer, images, tensors[f"tokens/{length}"], setup)
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
