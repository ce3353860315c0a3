"""The images that OpenCLIP finds for some captions of a set with a checkpoint of ours, as a picture for the README.

usage: retrieved.py CHECKPOINT_FOLDER SHARDS_FOLDER OUT.jpg
Of the captions whose own image is among the first five, the first six of a fixed shuffle that begin with different
words; the own image is framed. Runs in the environment of tools/peers.sh: build/venv-peers/bin/python.
CHECKPOINT_FOLDER is RUN/checkpoints/step_N.
"""

import io
import pathlib
import random
import sys
import tarfile
import textwrap

import open_clip
import torch
from PIL import Image, ImageDraw, ImageFont

SIZE, GAP, FOUND, LABEL, ROWS = 88, 8, 5, 300, 6


def records(folder):
    """(image, caption) of each record."""
    for shard in sorted(pathlib.Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: member for member in tar}
            for name in members:
                text = name.rsplit(".", 1)[0] + ".txt"
                if name.endswith((".jpg", ".png", ".webp")) and text in members:
                    image = Image.open(io.BytesIO(tar.extractfile(members[name]).read())).convert("RGB")
                    yield image, tar.extractfile(members[text]).read().decode()


@torch.no_grad()
def main(checkpoint, shards, out):
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{checkpoint}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{checkpoint}")
    model.eval()
    images, captions = zip(*records(shards))
    in_batches = range(0, len(images), 100)
    features = torch.cat([
        model.encode_image(torch.stack([preprocess(image) for image in images[first:first + 100]]), normalize=True)
        for first in in_batches])
    texts = torch.cat([
        model.encode_text(tokenizer(list(captions[first:first + 100])), normalize=True) for first in in_batches])
    best = (texts @ features.T).topk(FOUND, dim=1).indices.tolist()
    hits = [row for row in range(len(images)) if row in best[row]]
    random.Random(3).shuffle(hits)
    shown = {}  # by first word
    for row in hits:
        shown.setdefault(captions[row].split()[0].lower(), row)
    rows = list(shown.values())[:ROWS]
    font = ImageFont.truetype("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 15)
    sheet = Image.new("RGB", (LABEL + FOUND * (SIZE + GAP) + GAP, len(rows) * (SIZE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for line, row in enumerate(rows):
        top = GAP + line * (SIZE + GAP)
        label = "\n".join(textwrap.wrap(captions[row], 36)[:4])
        draw.text((GAP * 2, top + SIZE / 2), label, fill="black", font=font, anchor="lm")
        for place, index in enumerate(best[row]):
            image = images[index].copy()
            image.thumbnail((SIZE - 6, SIZE - 6))
            left = LABEL + place * (SIZE + GAP)
            sheet.paste(image, (left + (SIZE - image.width) // 2, top + (SIZE - image.height) // 2))
            if index == row:
                draw.rectangle((left, top, left + SIZE - 1, top + SIZE - 1), outline="#2a9d2a", width=3)
    sheet.save(out, quality=85)
    print(f"{out}: {len(images)} images, {len(hits)} captions with their image among the first {FOUND}")


if __name__ == "__main__":
    main(*sys.argv[1:])
