"""tools/peers/openclip_step.py, with which steps are compared: its accumulation in parts gives the gradients of the whole
batch. It runs in the peers' environment; exit code 77, skipped, where that is absent.
"""

import os
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def main():
    sys.path.insert(0, str(TOP / "tools/peers"))
    import openclip_step
    import torch
    from open_clip.model import CLIP

    assert openclip_step.sizes("256,4096/4") == [(256, 1), (4096, 4)]
    torch.manual_seed(1)
    vision = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    model = CLIP(16, vision, text).double().train()
    setup = {"precision": "fp64", "optimizer": {"lr": 0, "beta1": 0.9, "beta2": 0.98, "eps": 1e-8, "weight_decay": 0}}
    step = openclip_step.Steps(model, openclip_step.make_optimizer(model, setup), setup, "cpu", compiled=False)
    images, tokens = torch.randn(7, 3, 16, 16).double(), torch.randint(1, 50, (7, 8))
    gradients = []
    for step.parts in (1, 3):
        model.zero_grad()
        step.backward(images, tokens)
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    whole, parts = gradients
    # As in OpenCLIP each part's loss, that of the whole batch, reaches the scale.
    parts["logit_scale"] /= 3
    assert len(whole) > 30
    for name, gradient in whole.items():
        difference = (parts[name] - gradient).abs().max().item()
        assert difference < 1e-12, (name, difference)


if __name__ == "__main__":
    environment = pathlib.Path(os.environ.get("FASTCLIP_PEERS") or TOP / "build/venv-peers")
    if not (environment / "bin/python").exists():
        print("skipped: no peers' environment: tools/peers.sh makes it")
        sys.exit(77)
    if pathlib.Path(sys.prefix) != environment.absolute():
        os.execv(environment / "bin/python", [str(environment / "bin/python"), *sys.argv])
    main()
