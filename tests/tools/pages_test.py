"""The pages: every relative link leads to a file, and tools/questions.md to the words that it names there."""

import pathlib
import re
import subprocess

LIST = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]

pages = [pathlib.Path(name) for name in subprocess.run(LIST, capture_output=True, text=True, check=True).stdout.split()]
links = 0
for page in pages:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        assert (page.parent / target).exists(), f"{page}: no {target}"
        links += 1
assert links > 60, links

questions = pathlib.Path("tools/questions.md")
rows = [line for line in questions.read_text().splitlines() if line.startswith("| ") and "](" in line]
assert len(rows) == 20, len(rows)
for row in rows:
    for target, words in re.findall(r"\]\(([^)]+)\)(?: \"([^\"]+)\")?", row):
        assert words, f"{questions}: no quoted words behind {target}"
        assert words in (questions.parent / target).read_text(), f"{target} does not say: {words}"
print(len(pages), "pages,", links, "links")
