"""The program's commands, in a build with LibTorch and in one without: each is listed, answers --help, or says what it needs."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]


def fastclip(*words):
    return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def listed(help_text):
    """The names and summaries of a list of commands."""
    return dict(re.findall(r"^  (\w+) +(.+)$", help_text, re.MULTILINE))


commands = listed(fastclip("--help").stdout)
assert set(commands) == {"train", "adapt", "config", "estimators", "eval", "shards", "bench", "tokenize", "tokenizer",
                         "completion"}, commands
benches = listed(fastclip("bench", "--help").stdout)
assert set(benches) == {"pipeline", "tokenizer", "step", "objective", "adapt"}, benches

for name, summary in commands.items():
    result = fastclip(name, "--help")
    if "needs LibTorch" in summary:
        assert result.returncode == 2 and f"has no '{name}'; build with" in result.stderr, (name, result)
    else:
        assert result.returncode == 0 and "example: " in result.stdout, (name, result)

# Commands of verbs: every verb.
verbs = 0
for name, text in commands.items():
    help_text = fastclip(name, "--help").stdout
    if "needs LibTorch" in text or f"fastclip {name} VERB" not in help_text:
        continue
    for verb, summary in listed(help_text).items():
        result = fastclip(name, verb, "--help")
        if "needs LibTorch" in summary:
            assert result.returncode == 2 and f"has no '{verb}'" in result.stderr, (name, verb, result)
        else:
            assert result.returncode == 0 and "example: " in result.stdout, (name, verb, result)
        verbs += 1
assert verbs > 8, verbs

wrong = fastclip("trian")
assert wrong.returncode == 2 and "unknown command 'trian'; did you mean train?" in wrong.stderr, wrong
wrong = fastclip("shards", "inof")
assert wrong.returncode == 2 and "unknown command 'shards inof'; did you mean info?" in wrong.stderr, wrong
wrong = fastclip("quickstart")
assert wrong.returncode == 2 and "did you mean" not in wrong.stderr, wrong

# Completion, as bash asks for it.
with_keys = "needs LibTorch" not in commands["train"]


def completed(*words):
    script = 'source <("$0" completion bash); COMP_WORDS=("$0" "$@"); COMP_CWORD=$#; _fastclip; printf "%s\\n" "${COMPREPLY[@]}"'
    result = subprocess.run(["bash", "-c", script, PROGRAM, *words], capture_output=True, text=True)
    assert result.stderr == "", result
    return result.stdout.split()


assert set(completed("")) == {*commands, "--help", "--version"}, completed("")
assert completed("sha") == ["shards"], completed("sha")
assert "lint" in completed("shards", ""), completed("shards", "")
assert completed("shards", "lint", "--max") == ["--max-pixels"], completed("shards", "lint", "--max")
assert completed("completion", "z") == ["zsh"], completed("completion", "z")
# Values, of an option and of a key: as one word, and in the three words that bash makes of a=b.
assert completed("bench", "pipeline", "--pixels", "") == ["exact", "fast"], completed("bench", "pipeline", "--pixels", "")
assert completed("bench", "pipeline", "--pixels", "=", "f") == ["fast"]
assert completed("bench", "pipeline", "--pixels=f") == ["--pixels=fast"]
assert completed("shards", "lint", "--json", "--max") == ["--max-pixels"], "a flag has no values"
if with_keys:
    assert completed("train", "x.toml", "objective.name", "=", "fast") == [f"fastclip_v{n}" for n in range(4)]
    assert completed("train", "x.toml", "objective.name", "=") == completed("train", "x.toml", "objective.name", "=", "")
    assert {"openclip", "sogclr", "siglip"} < set(completed("train", "x.toml", "objective.name", "="))
    assert completed("train", "x.toml", "train.precision=am") == ["train.precision=amp_bf16", "train.precision=amp"]
    assert completed("train", "x.toml", "resume", "=", "t") == ["true"]
    assert completed("train", "--dry-run", "x.toml", "train.ep") == ["train.epochs="], "after a flag, too"
    assert completed("train", "x.toml", "data.train", "=", "configs/quickst") == ["configs/quickstart.toml"]
    assert completed("train", "x.toml", "train.epochs", "=", "zz") == [], completed("train", "x.toml", "train.epochs", "=", "zz")
    assert completed("bench", "step", "x.toml", "optimizer.name=ad") == ["optimizer.name=adamw"]
    assert set(completed("eval", "retrieval", "runs/x", "--device", "")) == {"auto", "cpu", "cuda"}
    assert fastclip("config", "keys", "--values", "train.epochs").stdout == ""
    wrong = fastclip("config", "keys", "--values", "train.lr")
    assert wrong.returncode == 2 and "unknown key train.lr; did you mean learning_rate.lr?" in wrong.stderr, wrong
    assert completed("train", "x.toml", "train.ep") == ["train.epochs="], completed("train", "x.toml", "train.ep")
    assert completed("train", "--dry") == ["--dry-run"], completed("train", "--dry")
    assert completed("train", "configs/quickst") == ["configs/quickstart.toml"], completed("train", "configs/quickst")
wrong = fastclip("completion", "csh")
assert wrong.returncode == 2 and "unknown shell 'csh'; use bash, zsh or fish" in wrong.stderr, wrong

version = fastclip("--version").stdout.splitlines()
assert re.fullmatch(r"fastclip \d+\.\d+\.\d+", version[0]), version
assert re.fullmatch(r"commit ([0-9a-f]{7,}(-dirty)?|unknown)", version[1]), version
assert re.fullmatch(r"LibTorch \d.*|without LibTorch.*", version[2]), version
print(len(commands), "commands,", verbs, "verbs")

# Other shells, where they are installed.
fish = shutil.which("fish")
if fish:
    folder = tempfile.TemporaryDirectory()
    link = pathlib.Path(folder.name) / "fastclip"
    link.symlink_to(pathlib.Path(PROGRAM).resolve())
    asked = [("sha", "shards"), ("shards inf", "info")]
    asked += [("bench pipeline --pixels f", "fast")]
    asked += [("train x.toml train.ba", "train.batch_size="), ("train x.toml objective.name=sog", "objective.name=sogclr")] if with_keys else []
    for words, expected in asked:
        found = subprocess.run([fish, "--no-config", "-c", f"{link} completion fish | source; complete -C '{link} {words}'"],
                               capture_output=True, text=True, check=True).stdout
        assert expected in found.split(), (words, found)
zsh = shutil.which("zsh")
if zsh:
    subprocess.run([zsh, "-f", "-n", "-c", fastclip("completion", "zsh").stdout], check=True)
