#!/usr/bin/env python3
"""tools/zero_shot_sets.py on a metadata file of three names and two templates."""

import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "zero_shot_sets.py")
METADATA = """
OPENAI_IMAGENET_TEMPLATES = (lambda c: f'a photo of a {c}.', lambda c: f'the {c}, and the {c}')
SIMPLE_IMAGENET_TEMPLATES = (lambda c: f'{c}',)
IMAGENET_CLASSNAMES = ("great white shark", "crane", "yellow lady's slipper")
"""


class ZeroShotSetsTest(unittest.TestCase):
    def test_writes_names_and_slots(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "zero_shot_metadata.py"), "w", encoding="utf-8") as file:
                file.write(METADATA)
            share = os.path.join(folder, "share")
            subprocess.run([sys.executable, SCRIPT, folder, share], check=True)
            for name, expected in {
                "classes/imagenet.txt": "great white shark\ncrane\nyellow lady's slipper\n",
                "templates/openai.txt": "a photo of a {}.\nthe {}, and the {}\n",
                "templates/simple.txt": "{}\n",
            }.items():
                with open(os.path.join(share, name), encoding="utf-8") as file:
                    self.assertEqual(file.read(), expected)


if __name__ == "__main__":
    unittest.main()
