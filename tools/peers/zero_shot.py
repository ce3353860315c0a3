"""Evaluates a FastCLIP checkpoint with OpenCLIP's zero-shot classification, on the shards of `fastclip eval zeroshot`.

usage: zero_shot.py MODEL.safetensors MODEL.toml SHARDS CLASSES TEMPLATES (in the peers' environment)
Model, tokenizer and classifier are OpenCLIP's; images are decoded by Pillow and torchvision. Hits are counted with topk
as in OpenCLIP, whose own function does not run with this environment's numpy. Prints top-1 and top-5 as one line of
JSON. Records without .cls, or with a label out of range, are skipped.
"""

import json
import sys
import tomllib

import open_clip
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file
from torchvision.transforms.functional import center_crop, resize

from reference_train import BICUBIC, read_records, to_tensor


def read_labelled(pattern, classes):
    images, labels = [], []
    for image, record in read_records(pattern):
        label = int(record.get("cls", b"-1"))
        if 0 <= label < classes:
            images.append(image)
            labels.append(label)
    return images, torch.tensor(labels)


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


@torch.no_grad()
def main(weights, model_file, shards, class_file, template_file):
    with open(model_file, "rb") as file:
        shape = tomllib.load(file)
    model = CLIP(embed_dim=shape["embed_dim"], vision_cfg=shape["vision"], text_cfg=shape["text"],
                 quick_gelu=shape.get("quick_gelu", False))
    model.load_state_dict(load_file(weights), strict=True)
    model.eval()
    classes, size = lines_of(class_file), shape["vision"]["image_size"]
    tokenizer = open_clip.SimpleTokenizer(context_length=shape["text"]["context_length"])
    classifier = open_clip.build_zero_shot_classifier(model, tokenizer, classes, lines_of(template_file))
    images, labels = read_labelled(shards, len(classes))
    hits = [0, 0]
    for i in range(0, len(images), 250):
        crops = [center_crop(resize(image, size, BICUBIC), size) for image in images[i:i + 250]]
        logits = 100.0 * model.encode_image(to_tensor(crops), normalize=True) @ classifier
        found = logits.topk(5).indices == labels[i:i + 250, None]
        hits = [before + found[:, :k].sum().item() for before, k in zip(hits, (1, 5))]
    print(json.dumps({"zeroshot_top1": hits[0] / len(images), "zeroshot_top5": hits[1] / len(images),
                      "num_samples": len(images)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
