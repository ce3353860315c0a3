"""Loads adapters that FastCLIP wrote into Hugging Face PEFT, compares logits, and makes a new adapter with PEFT.

usage: check_adapters.py FOLDER
FOLDER/base.safetensors has weight/* with OpenCLIP's names, image, text, and in its metadata the model as JSON with
OpenCLIP's keys. FOLDER/features.safetensors has NAME/image_features and NAME/text_features for each adapter folder
FOLDER/NAME; names begin with the dialect, hf_clip or open_clip. Writes FOLDER/theirs, an adapter of PEFT's for
CLIPModel, and its features to theirs.safetensors. Prints the largest differences of logits as JSON; exit code 1 if one
exceeds 1e-5.
"""

import json
import pathlib
import sys
import tempfile
import warnings

import open_clip
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

TOLERANCE = 1e-5


def hf_config(model):
    vision, text = model["vision_cfg"], model["text_cfg"]
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    return CLIPConfig(
        projection_dim=model["embed_dim"],
        vision_config={
            "hidden_size": vision["width"], "intermediate_size": int(vision["width"] * vision.get("mlp_ratio", 4)),
            "num_hidden_layers": vision["layers"], "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": vision["image_size"], "patch_size": vision["patch_size"], "hidden_act": act,
            "projection_dim": model["embed_dim"]},
        # eos_token_id 2: read at the highest id, as OpenCLIP does.
        text_config={
            "hidden_size": text["width"], "intermediate_size": int(text["width"] * text.get("mlp_ratio", 4)),
            "num_hidden_layers": text["layers"], "num_attention_heads": text["heads"],
            "vocab_size": text["vocab_size"], "max_position_embeddings": text["context_length"], "hidden_act": act,
            "projection_dim": model["embed_dim"], "eos_token_id": 2})


def hf_weights(ours):
    """OpenCLIP's state_dict with the names of CLIPModel."""
    theirs = {"logit_scale": ours["logit_scale"], "visual_projection.weight": ours["visual.proj"].t(),
              "text_projection.weight": ours["text_projection"].t(),
              "vision_model.embeddings.class_embedding": ours["visual.class_embedding"],
              "vision_model.embeddings.patch_embedding.weight": ours["visual.conv1.weight"],
              "vision_model.embeddings.position_embedding.weight": ours["visual.positional_embedding"],
              "text_model.embeddings.token_embedding.weight": ours["token_embedding.weight"],
              "text_model.embeddings.position_embedding.weight": ours["positional_embedding"]}
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm",
             "ln_final": "text_model.final_layer_norm"}
    for name, tensor in ours.items():
        module, kind = name.rpartition(".")[::2]
        if module in norms:
            theirs[f"{norms[module]}.{kind}"] = tensor
        if ".resblocks." not in name:
            continue
        tower, rest = name.split("transformer.resblocks.")
        block, part = rest.split(".", 1)
        layer = f"{'vision' if tower else 'text'}_model.encoder.layers.{block}."
        if part.startswith("attn.in_proj_"):
            for one, rows in zip("qkv", tensor.chunk(3)):
                theirs[f"{layer}self_attn.{one}_proj.{part.removeprefix('attn.in_proj_')}"] = rows
        else:
            for old, new in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"),
                             ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
                part = part.replace(old, new)
            theirs[layer + part] = tensor
    return {name: tensor.contiguous() for name, tensor in theirs.items()}


@torch.no_grad()
def hf_features(model, base):
    # The towers' own classes changed what get_image_features returns between versions.
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    image = inner.visual_projection(inner.vision_model(pixel_values=base["image"]).pooler_output)
    text = inner.text_projection(inner.text_model(input_ids=base["text"]).pooler_output)
    return {"image_features": torch.nn.functional.normalize(image, dim=-1),
            "text_features": torch.nn.functional.normalize(text, dim=-1)}


@torch.no_grad()
def open_clip_features(model, base):
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    return {"image_features": inner.encode_image(base["image"], normalize=True),
            "text_features": inner.encode_text(base["text"], normalize=True)}


def main(folder):
    folder = pathlib.Path(folder)
    with safe_open(folder / "base.safetensors", "pt") as file:
        config = json.loads(file.metadata()["model"])
    base = load_file(folder / "base.safetensors")
    weights = {name.removeprefix("weight/"): tensor for name, tensor in base.items() if name.startswith("weight/")}
    ours = load_file(folder / "features.safetensors")

    def new_hf():
        model = CLIPModel(hf_config(config)).double().eval()
        missing, unknown = model.load_state_dict(hf_weights(weights), strict=False)
        assert not unknown and all("position_ids" in name for name in missing), (missing, unknown)
        return model

    def new_open_clip():
        with tempfile.TemporaryDirectory() as models:
            (pathlib.Path(models) / "peer-model.json").write_text(json.dumps(config))
            open_clip.add_model_config(models)
            model = open_clip.create_model("peer-model").double().eval()
        model.load_state_dict(weights, strict=True)
        return model

    scale = weights["logit_scale"].exp()
    logits = lambda features: scale * features["image_features"] @ features["text_features"].t()  # noqa: E731
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # transformers' own
    differences = {}
    for path in sorted(folder.glob("*/adapter_config.json")):
        name = path.parent.name
        make, features_of = (new_hf, hf_features) if name.startswith("hf") else (new_open_clip, open_clip_features)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*(missing|unexpected|Unexpected).*")  # of keys
            adapted = PeftModel.from_pretrained(make(), path.parent).double().eval()
        own = {key: ours[f"{name}/{key}"] for key in ("image_features", "text_features")}
        differences[name] = (logits(features_of(adapted, base)) - logits(own)).abs().max().item()
        plain = features_of(make(), base)
        assert (logits(plain) - logits(own)).abs().max() > 1e-2, f"{name} changes nothing"

    torch.manual_seed(5)
    fresh = get_peft_model(new_hf(), LoraConfig(
        r=3, lora_alpha=7, use_rslora=True, target_modules=r".*layers\.\d+\.(self_attn\.(q|out)_proj|mlp\.fc1)",
        alpha_pattern={r"layers\.[01]\.mlp\.fc1": 2}, rank_pattern={"layers.1.self_attn.q_proj": 5},
        init_lora_weights=False))
    fresh.save_pretrained(folder / "theirs")
    save_file({name: value.contiguous() for name, value in hf_features(fresh.eval(), base).items()},
              folder / "theirs.safetensors")
    print(json.dumps({"largest_difference_of_logits": differences}))
    return 0 if differences and max(differences.values()) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
