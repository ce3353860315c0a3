#!/usr/bin/env python3
"""Writes pandas_tables.json: small tables and the rows that pandas.read_csv makes of them.

usage: make_tables.py CASES SEED > pandas_tables.json   (frozen: 300 2026, pandas 3.1.1; a larger file
is given to the test as FASTCLIP_TABLES)

Left out are tables in which text follows quotes that hold a line break: pandas makes one row of
several there, which is a bad row here. And those in which a lone CR ends a blank row before an empty
field: pandas loses that field.
"""
import io
import json
import random
import re
import sys

import pandas

WORDS = ["a", "dog", "5", " ", "é", '"', '"', '""', '"b"', "\n", "\n", "\r\n", "\r", "\t", ",", ";"]


def merges(text, separator):
    """Whether quotes that hold a line break are followed by text."""
    at_start, quoted, broken, behind = True, False, False, False
    i = 0
    while i < len(text):
        c = text[i]
        if quoted:
            if c == '"':
                if text[i + 1:i + 2] == '"':
                    i += 1
                else:
                    quoted, behind = False, broken
            elif c in "\r\n":
                broken = True
        elif c == '"' and at_start:
            quoted, broken, at_start = True, False, False
        elif c in ("\r", "\n", separator):
            at_start, behind = True, False
        else:
            if behind and c not in " \t":
                return True
            at_start = False
        i += 1
    return False


def rows_of(text, separator):
    try:
        table = pandas.read_csv(io.BytesIO(text.encode()), sep=separator, dtype=str, na_filter=False,
                                on_bad_lines="skip", index_col=False)
    except pandas.errors.ParserError:
        return None
    return [[image, title] for image, title in zip(table["filepath"], table["title"])]


def main():
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    made = []
    while len(made) < cases:
        separator = rng.choice("\t,;")
        header = ["filepath", "title"] + ["more"] * rng.randrange(2)
        if rng.randrange(4) == 0:
            header.reverse()
        body = "".join(rng.choice(WORDS + [separator] * 6) for _ in range(rng.randrange(40)))
        text = (rng.choice(["", "", "\ufeff"]) + separator.join(header) +
                rng.choice(["\n", "\r\n", "\r"]) + separator.join("x" for _ in header) + "\n" + body)
        if merges(text, separator) or re.search(r"[\r\n][ \t]*\r" + separator, text):
            continue
        made.append({"separator": separator, "text": text, "rows": rows_of(text, separator)})
    json.dump(made, sys.stdout, ensure_ascii=True, indent=0, separators=(",", ":"))
    print()


main()
