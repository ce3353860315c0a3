"""Makes the tower cases of a bare clone: towers.json and tower_NAME.safetensors beside this file.

Needs the peers' environment (tools/peers.sh). Float64, OpenCLIP's CLIP: weight/* is its state_dict,
features are L2-normalised, grad/* is the gradient of
sum(image_features * linspace(-1, 1)) + sum(text_features * linspace(1, -1)), buffer/* are the running
statistics after the training step; eval/* are features of weight/* in evaluation, of models with BatchNorm.
"""

import json
import pathlib

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

CASES = {
    "vit_small": dict(
        embed_dim=6,
        vision=dict(layers=2, width=12, head_width=6, patch_size=4, image_size=12),
        text=dict(context_length=10, vocab_size=24, width=12, heads=3, layers=2),
        quick_gelu=False,
    ),
    "vit_one_block_quickgelu": dict(
        embed_dim=6,
        vision=dict(layers=1, width=12, head_width=4, patch_size=4, image_size=16, mlp_ratio=2.5),
        text=dict(context_length=8, vocab_size=20, width=8, heads=2, layers=1, mlp_ratio=3.0),
        quick_gelu=True,
    ),
    "resnet_small": dict(
        embed_dim=6,
        vision=dict(layers=[1, 2, 1, 1], width=2, head_width=16, image_size=32),
        text=dict(context_length=8, vocab_size=20, width=8, heads=2, layers=1),
        quick_gelu=False,
    ),
}


def captions(rows, config):
    """Start, words, end (the highest id), zeros."""
    vocab, context = config["vocab_size"], config["context_length"]
    tokens = torch.zeros(rows, context, dtype=torch.int64)
    for row in range(rows):
        words = [1, context - 2, 3][row % 3]
        tokens[row, 0] = vocab - 2
        tokens[row, 1 : 1 + words] = torch.randint(1, vocab - 2, (words,))
        tokens[row, 1 + words] = vocab - 1
    return tokens


def features_of(model, image, text):
    return {
        "image_features": model.encode_image(image, normalize=True),
        "text_features": model.encode_text(text, normalize=True),
    }


def make(config):
    model = CLIP(config["embed_dim"], config["vision"], config["text"], config["quick_gelu"]).double()
    size = config["vision"]["image_size"]
    image = torch.randn(3, 3, size, size, dtype=torch.float64)
    text = captions(3, config["text"])
    # The initialisation leaves biases at zero and gains at one, which would hide mistakes.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.1 * torch.randn_like(buffer)
            if name.endswith("running_var"):
                buffer *= 0.5 + torch.rand_like(buffer)
    tensors = {f"weight/{name}": value.clone() for name, value in model.state_dict().items()}
    if isinstance(config["vision"]["layers"], list):
        evaluated = features_of(model.eval(), image, text)
        tensors |= {f"eval/{name}": value for name, value in evaluated.items()}
        model.train()
    features = features_of(model, image, text)
    ramp = torch.linspace(-1, 1, features["image_features"].numel(), dtype=torch.float64)
    ramp = ramp.view_as(features["image_features"])
    (features["image_features"] * ramp - features["text_features"] * ramp).sum().backward()
    tensors |= {f"train/{name}": value for name, value in features.items()}
    tensors |= {
        f"train/buffer/{name}": value
        for name, value in model.state_dict().items()
        if "running_" in name or "num_batches" in name
    }
    tensors |= {
        f"train/grad/{name}": p.grad for name, p in model.named_parameters() if p.grad is not None
    }
    tensors |= {"image": image, "text": text}
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def main():
    here = pathlib.Path(__file__).parent
    torch.manual_seed(5)
    for name, config in CASES.items():
        file = here / f"tower_{name}.safetensors"
        save_file(make(config), file)
        file.chmod(0o644)
    manifest = {"meaning": __doc__.split("\n\n")[1].replace("\n", " "), "cases": CASES}
    (here / "towers.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
