"""The program's commands, in a build with LibTorch and in one without: each is listed, answers --help, or says what it needs."""

import re
import subprocess
import sys

PROGRAM = sys.argv[1]


def fastclip(*words):
    return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def listed(help_text):
    """The names and summaries of a list of commands."""
    return dict(re.findall(r"^  (\w+) +(.+)$", help_text, re.MULTILINE))


commands = listed(fastclip("--help").stdout)
assert set(commands) == {"train", "config", "estimators", "eval", "shards", "bench", "tokenize", "tokenizer"}, commands
benches = listed(fastclip("bench", "--help").stdout)
assert set(benches) == {"pipeline", "tokenizer", "step", "objective"}, benches

for words, summary in [([name], text) for name, text in commands.items()] + [
        (["bench", name], text) for name, text in benches.items()]:
    result = fastclip(*words, "--help")
    if "needs LibTorch" in summary:
        assert result.returncode == 2 and f"has no '{words[-1]}'; build with" in result.stderr, (words, result)
    else:
        assert result.returncode == 0 and "example: " in result.stdout, (words, result)

wrong = fastclip("trian")
assert wrong.returncode == 2 and "no command 'trian'" in wrong.stderr, wrong
print(len(commands), "commands,", len(benches), "benches")
