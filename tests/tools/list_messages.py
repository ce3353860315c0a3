"""Lists the string literals of the sources that people may read, one a line: file:line, tab, text.

usage: list_messages.py [FOLDER …]
Adjacent literals are one text. Left out: texts without a space or with fewer than two words, and tables of data.
For an editor who reads all messages in a row; nothing in the build depends on it.
"""

import pathlib
import re
import sys

FOLDERS = ["pipeline", "tokenizer", "comm", "trainer", "tools"]
DATA = {"html_entity_names.cc"}
LITERAL = r'"((?:[^"\\\n]|\\.)*)"'


def messages(path):
    source = path.read_text(encoding="utf-8")
    # A comment may hold quotes; a literal may hold slashes: comments are blanked where their line opens no literal.
    source = "\n".join(re.sub(r"^([^\"]*?)//.*", r"\1", line) for line in source.split("\n"))
    for found in re.finditer(rf"{LITERAL}(?:\s*{LITERAL})*", source):
        text = "".join(re.findall(LITERAL, found.group()))
        if " " in text and len(re.findall(r"[A-Za-z]{2,}", text)) >= 2:
            yield source.count("\n", 0, found.start()) + 1, text


def main(folders):
    count = 0
    for folder in folders or FOLDERS:
        for path in sorted([*pathlib.Path(folder).rglob("*.cc"), *pathlib.Path(folder).rglob("*.h")]):
            if path.name in DATA:
                continue
            for line, text in messages(path):
                print(f"{path}:{line}\t{text}")
                count += 1
    print(f"{count} texts", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
