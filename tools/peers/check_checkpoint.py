"""Loads FastCLIP weights into OpenCLIP (strict), compares features, and writes weights of a new OpenCLIP model.

usage: check_checkpoint.py MODEL.safetensors PROBE.safetensors OUT.safetensors
PROBE has images [b, 3, s, s], tokens [b, n], FastCLIP's image_features and text_features of them, and in its metadata
the model as JSON, with OpenCLIP's keys. OUT gets weight/* of a new OpenCLIP model and its features. Prints the largest
differences as JSON; exit code 1 if one exceeds 1e-5.
"""

import json
import pathlib
import sys
import tempfile

import open_clip
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-5


@torch.no_grad()
def features_of(model, probe):
    model.eval()
    return {
        "image_features": model.encode_image(probe["images"], normalize=True),
        "text_features": model.encode_text(probe["tokens"], normalize=True),
    }


def main(weights, probe_file, out):
    with safe_open(probe_file, "pt") as file:
        config = json.loads(file.metadata()["model"])
    probe = load_file(probe_file)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "peer-model.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder)
        # As a user loads it: a missing or unknown name raises an error.
        ours = open_clip.create_model("peer-model", pretrained=weights)
        ours.load_state_dict(load_file(weights), strict=True)  # nor was anything resized or converted
        torch.manual_seed(11)
        fresh = open_clip.create_model("peer-model")
    differences = {
        name: (value - probe[name]).abs().max().item() for name, value in features_of(ours, probe).items()
    }
    tensors = {f"weight/{name}": value for name, value in fresh.state_dict().items()}
    save_file({name: value.contiguous() for name, value in (tensors | features_of(fresh, probe)).items()}, out)
    print(json.dumps({"tensors": len(ours.state_dict()), "largest_difference": differences}))
    return 0 if max(differences.values()) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
