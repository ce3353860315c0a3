"""Each key of a config is named by a test: `section.key`, as in "adapt.logit_scale=false"."""

import re
import subprocess
import sys

PROGRAM = sys.argv[1]
FILES = ["tests/*.cc", "tests/*.h", "tests/*.py"]


def keys_of(defaults):
    """The dotted names in the TOML text of all keys."""
    section, keys = "", []
    for line in defaults.splitlines():
        if found := re.match(r"\[(\w+)\]", line):
            section = found[1] + "."
        elif found := re.match(r"(\w+) *=", line):
            keys.append(section + found[1])
    return keys


keys = keys_of(subprocess.run([PROGRAM, "config", "defaults"], capture_output=True, text=True, check=True).stdout)
listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *FILES]
named = set()
for path in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]:
    with open(path, encoding="utf-8") as file:
        named.update(re.findall(r"(?<![\w.])\w+\.\w+(?!\w)", file.read()))
# Keys without a section are words of everyday: "run", "resume".
absent = [key for key in keys if "." in key and key not in named]
assert len(keys) > 100, keys
assert not absent, f"no test under tests/ names {', '.join(absent)}"
print(len(keys), "keys")
