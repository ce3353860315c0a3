#!/usr/bin/env python3
"""Writes ImageNet's class names and CLIP's prompt templates from the package open_clip_torch to text files.

usage: tools/zero_shot_sets.py OPEN_CLIP_FOLDER SHARE_FOLDER

Writes SHARE_FOLDER/classes/imagenet.txt (1,000 names in the order of the labels), SHARE_FOLDER/templates/openai.txt
(80) and simple.txt (7), with {} for the name. It runs only the package's zero_shot_metadata.py, which has no imports,
so the package's requirements need not be installed.
"""

import os
import runpy
import sys


def write(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    os.replace(path + ".tmp", path)


def main(package, share):
    sets = runpy.run_path(os.path.join(package, "zero_shot_metadata.py"))
    write(os.path.join(share, "classes", "imagenet.txt"), sets["IMAGENET_CLASSNAMES"])
    for name in ("openai", "simple"):
        templates = sets[f"{name.upper()}_IMAGENET_TEMPLATES"]
        write(os.path.join(share, "templates", f"{name}.txt"), [fill("{}") for fill in templates])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    main(*sys.argv[1:])
