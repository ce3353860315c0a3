"""The images that OpenCLIP finds for some captions with a checkpoint of ours, as a picture for the README.

usage: retrieved.py CHECKPOINT_FOLDER SHARDS_FOLDER OUT.jpg CAPTION …
Runs in the environment of tools/peers.sh: build/venv-peers/bin/python. CHECKPOINT_FOLDER is RUN/checkpoints/step_N.
"""

import io
import json
import pathlib
import sys
import tarfile
import tempfile

import open_clip
import torch
from PIL import Image, ImageDraw, ImageFont

SIZE, GAP, FOUND, LABEL = 88, 6, 5, 250


def records(folder):
    for shard in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith((".jpg", ".png", ".webp")):
                    yield Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")


@torch.no_grad()
def main(checkpoint, shards, out, captions):
    config = json.loads((pathlib.Path(checkpoint) / "checkpoint.json").read_text())["model_config"]
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "ours.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder)
        model, _, preprocess = open_clip.create_model_and_transforms(
            "ours", pretrained=str(pathlib.Path(checkpoint) / "model.safetensors"))
        tokenizer = open_clip.get_tokenizer("ours")
    model.eval()
    images = list(records(shards))
    features = torch.cat([
        model.encode_image(torch.stack([preprocess(image) for image in images[first:first + 100]]), normalize=True)
        for first in range(0, len(images), 100)])
    texts = model.encode_text(tokenizer(captions), normalize=True)
    best = (texts @ features.T).topk(FOUND, dim=1).indices
    font = ImageFont.truetype("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 15)
    sheet = Image.new("RGB", (LABEL + FOUND * (SIZE + GAP) + GAP, len(captions) * (SIZE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, caption in enumerate(captions):
        top = GAP + row * (SIZE + GAP)
        draw.text((GAP * 2, top + SIZE / 2), caption, fill="black", font=font, anchor="lm")
        for place, index in enumerate(best[row].tolist()):
            image = images[index].copy()
            image.thumbnail((SIZE, SIZE))
            left = LABEL + place * (SIZE + GAP)
            sheet.paste(image, (left + (SIZE - image.width) // 2, top + (SIZE - image.height) // 2))
    sheet.save(out, quality=85)
    print(f"{out}: {len(images)} images searched, {pathlib.Path(out).stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
