#!/usr/bin/env python3
"""Writes tables of images and captions from Debian's openclipart-png and openclipart-svg (public domain).

usage: tools/openclipart.py OUT_DIR [--root /usr/share/openclipart] [--held-out 1000]

Writes OUT_DIR/train.tsv and OUT_DIR/heldout.tsv for `fastclip shards convert`, and OUT_DIR/classes.txt. Symlinks
and files with equal bytes count as one image. The label is the line of classes.txt, from 0, with the image's top
folder. The caption is the title and keywords of the SVG's metadata and the words of the path. The held-out images have
the smallest content hashes among those with a unique caption and at most the 25 megapixels that the trainer reads.
The same packages give the same bytes.

example: tools/openclipart.py build/quickstart
"""

import argparse
import collections
import hashlib
import html
import os
import re
import struct
import sys

MAX_PIXELS = 25_000_000

TITLE = re.compile(rb"<cc:Work\b.*?<dc:title>(.*?)</dc:title>", re.DOTALL)
KEYWORD = re.compile(rb"<rdf:li>(.*?)</rdf:li>", re.DOTALL)
SUBJECT = re.compile(rb"<dc:subject>(.*?)</dc:subject>", re.DOTALL)
# What the collection's own software left in the texts: Perl's addresses of hashes, dates of export.
PERL_HASH = re.compile(r"\bhash[ (]0x[0-9a-f]*\)?|\b0x[0-9a-f]+\b", re.IGNORECASE)
DATE = re.compile(r"\(?\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ [\d:]+ \d{4}\b\)?|\b\d{4}-\d\d-\d\d\b")
IDENTIFIER = re.compile(r"\b[a-z]{0,4}\d{5,}\b")


def clean(text):
    """The text in one line without markup, dates and identifiers."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("_", " ")
    for pattern in (PERL_HASH, DATE, IDENTIFIER):
        text = pattern.sub(" ", text)
    return " ".join(text.split()).strip(" ,;")


def decode(raw):
    return raw.decode("utf-8", errors="replace")


def metadata(svg_path):
    """Title and keywords of an SVG, by pattern: some files of the collection are not well-formed XML."""
    try:
        with open(svg_path, "rb") as file:
            svg = file.read()
    except FileNotFoundError:
        return "", []
    title = TITLE.search(svg)
    subject = SUBJECT.search(svg)
    keywords = KEYWORD.findall(subject.group(1)) if subject else []
    return clean(decode(title.group(1))) if title else "", [clean(decode(k)) for k in keywords]


def path_words(relative):
    """'food/fruit/red_apple_01.png' → 'food fruit red apple'."""
    stem = re.sub(r"[_-]*\d*\.png$", "", relative)
    words = clean(re.sub(r"[^0-9A-Za-z]+", " ", stem.replace(".svg", " "))).split()
    return list(dict.fromkeys(words))


def caption(root, relative):
    title, keywords = metadata(os.path.join(root, "svg", relative[: -len(".png")] + ".svg"))
    words = path_words(relative)
    said = {word.lower() for word in words} | {title.lower(), "hash"}
    parts = [title, " ".join(words)]
    for keyword in (keyword.lower() for keyword in keywords):
        if keyword not in said and not said.issuperset(keyword.split()):
            said.add(keyword)
            parts.append(keyword)
    return ", ".join(part for part in parts if part)


def pixels(png):
    width, height = struct.unpack(">II", png[16:24])
    return width * height


def pictures(root):
    """(content hash, path, caption, pixels) of each distinct image, in the order of paths."""
    folder = os.path.join(root, "png")
    paths = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.endswith(".png")
    ]
    seen = set()
    links = [path for path in paths if os.path.islink(path)]
    for path in sorted(set(paths) - set(links)):
        with open(path, "rb") as file:
            png = file.read()
        digest = hashlib.sha256(png).hexdigest()
        if digest not in seen:
            seen.add(digest)
            yield digest, path, caption(root, os.path.relpath(path, folder)), pixels(png)
    print(f"{len(paths)} files, {len(links)} of them symlinks: {len(seen)} images")


def class_name(root, path):
    """'…/png/signs_and_symbols/flags/x.png' → 'signs and symbols'."""
    folder, slash, _ = os.path.relpath(path, os.path.join(root, "png")).partition(os.sep)
    return folder.replace("_", " ") if slash else "unsorted"


def write_lines(path, lines):
    with open(path + ".tmp", "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def write_table(path, rows, root, classes):
    label = {name: place for place, name in enumerate(classes)}
    table = [f"{picture}\t{text}\t{label[class_name(root, picture)]}" for _, picture, text, _ in rows]
    write_lines(path, ["filepath\tcaption\tlabel", *table])
    print(f"{path}: {len(rows)} pairs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=__doc__.strip().split("\n")[-1])
    parser.add_argument("out_dir", help="folder for the tables")
    parser.add_argument("--root", default="/usr/share/openclipart",
                        help="folder with png/ and svg/ (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=1000,
                        help="number of held-out images (default: %(default)s)")
    arguments = parser.parse_args()
    for package in ("png", "svg"):
        if not os.path.isdir(os.path.join(arguments.root, package)):
            sys.exit(
                f"openclipart.py: {arguments.root}/{package} is missing; "
                f"install the Debian package openclipart-{package}"
            )
    rows = list(pictures(arguments.root))
    uses = collections.Counter(text.lower() for _, _, text, _ in rows)
    unique = [row for row in rows if uses[row[2].lower()] == 1 and row[3] <= MAX_PIXELS]
    if len(unique) < arguments.held_out:
        sys.exit(f"openclipart.py: only {len(unique)} images have a unique caption; lower --held-out")
    held_out = {row[0] for row in sorted(unique)[: arguments.held_out]}
    print(f"{len(unique)} images with a unique caption; {sum(row[3] > MAX_PIXELS for row in rows)} over 25 megapixels")
    os.makedirs(arguments.out_dir, exist_ok=True)
    classes = sorted({class_name(arguments.root, row[1]) for row in rows})
    write_lines(os.path.join(arguments.out_dir, "classes.txt"), classes)
    for part, inside in (("train", False), ("heldout", True)):
        part_rows = [row for row in rows if (row[0] in held_out) == inside]
        write_table(os.path.join(arguments.out_dir, f"{part}.tsv"), part_rows, arguments.root, classes)


if __name__ == "__main__":
    main()
