"""Trains OpenCLIP's Python model on the quickstart's shards with the objective, schedule, sizes and seed of a
config, and prints retrieval metrics as one line of JSON, to compare with `fastclip train`.

usage: reference_train.py CONFIG.toml [section.key=value …] (in the peers' environment, see tools/peers.sh)
"""

import glob
import io
import json
import math
import sys
import tarfile
import time
import tomllib

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import center_crop, resize, resized_crop
from torchvision.transforms import InterpolationMode

BICUBIC = InterpolationMode.BICUBIC


def load_config(path, words):
    with open(path, "rb") as file:
        config = tomllib.load(file)
    for word in words:
        key, value = word.split("=", 1)
        try:
            value = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            pass
        *section, name = key.split(".")
        (config[section[0]] if section else config)[name] = value
    return config


def read_records(pattern):
    """The records of the shards: each one's image, and its members by extension."""
    for shard in sorted(glob.glob(pattern)):
        records = {}
        with tarfile.open(shard) as tar:
            for member in tar:
                key, ending = member.name.split(".", 1)
                records.setdefault(key, {})[ending] = tar.extractfile(member).read()
        for record in records.values():
            picture = record.get("jpg") or record.get("png")
            yield Image.open(io.BytesIO(picture)).convert("RGB"), record


def read_shards(pattern):
    images, captions = [], []
    for image, record in read_records(pattern):
        images.append(image)
        captions.append(record["txt"].decode())
    return images, captions


def to_tensor(images):
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def make_model(name):
    with open(f"configs/models/{name}.toml", "rb") as file:
        model = tomllib.load(file)
    return CLIP(embed_dim=model["embed_dim"], vision_cfg=model["vision"], text_cfg=model["text"],
                quick_gelu=model.get("quick_gelu", False)), model


def learning_rate(options, step, steps):
    lr, low, warmup = options["lr"], options["lr_min"], options["warmup"]
    if step < warmup:
        return lr * (step + 1) / warmup
    if options["schedule"] == "const":
        return lr
    return low + (lr - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def gamma_of(options, epoch, epochs):
    if epoch == 0:
        return 1.0
    decay = options["decay_epochs"] or max(1, epochs // 2)
    if options["schedule"] == "constant" or epoch >= decay:
        return options["min"]
    return options["min"] + (1 - options["min"]) * 0.5 * (1 + math.cos(math.pi * epoch / decay))


def fastclip_gradients(objective, image, text, t, u, index, gamma):
    """Surrogate whose autograd gives the features' gradient, and dL/dt; u is updated in place."""
    tau = torch.exp(-t.detach())
    similarity = image @ text.T
    n = len(image)
    off = 1 - torch.eye(n)
    surrogate, inner, logs = 0, 0, 0
    for side, s in enumerate((similarity, similarity.T)):
        d = (s - s.diagonal()[:, None]) / tau
        g = (torch.exp(d.detach()) * off).sum(1) / (n - 1)
        old = u[side, index]
        new = (1 - gamma) * old + gamma * g
        new = torch.where(old < 1e-35, g, new)
        u[side, index] = new
        weights = torch.exp(d.detach()) * off / ((n - 1) * (new[:, None] + objective["epsilon"]))
        surrogate = surrogate + 0.5 * (weights * d).sum(1).mean()
        inner += (weights * d.detach()).sum(1).mean()
        logs += torch.log(new).mean()
    if objective["name"] == "fastclip_v1":
        return surrogate, None
    factor = 0.5 if objective["mode"] == "exact" else 1.0
    return tau * surrogate, factor * tau * inner - tau * (objective["rho"] + 0.5 * logs)


def recall_at_10(image, text):
    similarity = image @ text.T
    hits = [(s.argsort(1, descending=True)[:, :10] == torch.arange(len(s))[:, None]).any(1).float().mean().item()
            for s in (similarity, similarity.T)]
    return {"image_to_text_R@10": hits[0], "text_to_image_R@10": hits[1]}


def main():
    config = load_config(sys.argv[1], sys.argv[2:])
    train, objective = config["train"], config["objective"]
    torch.manual_seed(train["seed"])
    torch.set_num_threads(train["threads"] or torch.get_num_threads())
    model, shape = make_model(config["model"]["name"])
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1 / config["temperature"]["init"]))
    tokenizer = open_clip.SimpleTokenizer(context_length=shape["text"]["context_length"])
    images, captions = read_shards(config["data"]["train"])
    tokens = tokenizer(captions)
    size, batch = shape["vision"]["image_size"], train["batch_size"]

    no_decay = lambda name, p: p.ndim < 2 or "bn" in name or "ln" in name or "bias" in name
    named = [(name, p) for name, p in model.named_parameters() if name != "logit_scale"]
    optimizer = torch.optim.AdamW(
        [{"params": [p for name, p in named if no_decay(name, p)], "weight_decay": 0.0},
         {"params": [p for name, p in named if not no_decay(name, p)]},
         {"params": [model.logit_scale], "weight_decay": 0.0}],
        lr=config["learning_rate"]["lr"], eps=config["optimizer"]["eps"],
        betas=(config["optimizer"]["beta1"], config["optimizer"]["beta2"]),
        weight_decay=config["optimizer"]["weight_decay"], fused=True)
    steps_per_epoch = len(images) // batch
    steps = train["epochs"] * steps_per_epoch
    u = torch.zeros(2, len(images))
    augment = config["pipeline"]
    scale, ratio = (augment["scale_min"], augment["scale_max"]), (augment["ratio_min"], augment["ratio_max"])
    started = time.time()
    for epoch in range(train["epochs"]):
        gamma = gamma_of(config["gamma"], epoch, train["epochs"])
        order = torch.randperm(len(images))
        for i in range(steps_per_epoch):
            step = epoch * steps_per_epoch + i
            index = order[i * batch:(i + 1) * batch]
            crops = [resized_crop(images[j], *RandomResizedCrop.get_params(images[j], scale, ratio), [size, size], BICUBIC)
                     for j in index]
            rate = learning_rate(config["learning_rate"], step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            if config["temperature"]["lr"] >= 0:
                optimizer.param_groups[2]["lr"] = config["temperature"]["lr"]
            optimizer.zero_grad()
            image = model.encode_image(to_tensor(crops), normalize=True)
            text = model.encode_text(tokens[index], normalize=True)
            if objective["name"] == "openclip":
                logits = model.logit_scale.exp() * image @ text.T
                labels = torch.arange(batch)
                (0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels))).backward()
            else:
                surrogate, grad_t = fastclip_gradients(objective, image, text, model.logit_scale, u, index, gamma)
                surrogate.backward()
                model.logit_scale.grad = grad_t
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
    seconds = time.time() - started

    images, captions = read_shards(config["data"]["val"])
    eval_crop = lambda image: center_crop(resize(image, size, BICUBIC), size)
    model.eval()
    with torch.no_grad():
        image = torch.cat([model.encode_image(to_tensor([eval_crop(x) for x in images[i:i + 250]]), normalize=True)
                           for i in range(0, len(images), 250)])
        text = torch.cat([model.encode_text(tokenizer(captions[i:i + 250]), normalize=True)
                          for i in range(0, len(captions), 250)])
    print(json.dumps({"objective": objective["name"], "mode": objective["mode"], "seed": train["seed"],
                      **recall_at_10(image, text), "tau": math.exp(-model.logit_scale.item()), "seconds": seconds}))


if __name__ == "__main__":
    main()
