#!/usr/bin/env python3
"""tools/openclipart.py on a collection of five pictures: links, captions, classes, what is held out."""

import os
import struct
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "openclipart.py")


def svg(title, keywords):
    items = "".join(f"<rdf:li>{k}</rdf:li>" for k in keywords)
    return (
        f"<svg><cc:Work rdf:about=''><dc:title>{title}</dc:title><dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
        "<dc:creator><dc:title>Somebody</dc:title></dc:creator></cc:Work></svg>"
    )


class OpenclipartTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.folder.name, "root")
        self.out = os.path.join(self.folder.name, "out")
        self.add("food/red_apple_01", svg("Red\tApple", ["food", "hash", "HASH(0x8589dd0)", "", "0x8b754fc", "fruit"]))
        self.add("icons/a", svg("Part of it (Wed Aug 25 23:29:46 2004)", ["hash(0x8a4d468)", "x &amp; y"]))
        self.add("icons/twin_01", svg("Twin", []))
        self.add("icons/twin_02", svg("Twin", []))
        self.add("big_halls/hall_hash_0x8a0ab9c__01", "not even <xml", side=30_000)
        os.symlink("../icons/a.png", os.path.join(self.root, "png", "food", "link.png"))

    def tearDown(self):
        self.folder.cleanup()

    def add(self, name, text, side=10):
        for kind in ("png", "svg"):
            path = os.path.join(self.root, kind, f"{name}.{kind}")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", side, side)
                file.write(header + name.encode() if kind == "png" else text.encode())

    def run_script(self, *words):
        command = [sys.executable, SCRIPT, self.out, "--root", self.root, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def table(self, name):
        with open(os.path.join(self.out, name), encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "filepath\tcaption\tlabel")
        with open(os.path.join(self.out, "classes.txt"), encoding="utf-8") as file:
            classes = file.read().splitlines()
        self.assertEqual(classes, ["big halls", "food", "icons"])
        rows = [line.split("\t") for line in lines[1:]]
        for path, _, label in rows:
            folder = os.path.relpath(path, os.path.join(self.root, "png")).split("/")[0]
            self.assertEqual(classes[int(label)], folder.replace("_", " "))
        return {os.path.relpath(path, os.path.join(self.root, "png")): text for path, text, _ in rows}

    def test_captions_and_split(self):
        done = self.run_script("--held-out", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("6 files, 1 of them symlinks: 5 images", done.stdout)
        self.assertEqual(
            self.table("heldout.tsv"),
            {"food/red_apple_01.png": "Red Apple, food red apple, fruit", "icons/a.png": "Part of it, icons a, x & y"},
        )
        self.assertEqual(
            self.table("train.tsv"),
            {
                "big_halls/hall_hash_0x8a0ab9c__01.png": "big halls hall",
                "icons/twin_01.png": "Twin, icons twin",
                "icons/twin_02.png": "Twin, icons twin",
            },
        )

    def test_says_what_is_missing(self):
        self.assertIn("only 2 images have a unique caption; lower --held-out", self.run_script("--held-out", "3").stderr)
        self.root = os.path.join(self.folder.name, "nowhere")
        self.assertIn("install the Debian package openclipart-png", self.run_script().stderr)


if __name__ == "__main__":
    unittest.main()
