"""What the program suggests to somebody who is new to it: after slips, wrong paths, damaged data and moved files.

usage: hints_test.py FASTCLIP
"""

import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

FASTCLIP = os.path.abspath(sys.argv[1])
CONFIG = os.path.abspath("configs/quickstart.toml")
MODEL = """embed_dim = 16
[vision]
image_size = 32
patch_size = 16
width = 32
layers = 1
head_width = 16
[text]
context_length = 16
vocab_size = 49408
width = 16
heads = 2
layers = 1
"""


def png(shade):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + bytes([shade, 0, 9] * 8)) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) + chunk(
        b"IDAT", rows) + chunk(b"IEND", b"")


class Place:
    """A temporary folder in which the program runs."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *words):
        return subprocess.run([FASTCLIP, *words], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)

    def says(self, code, words, *texts, without=()):
        """The program ends with `code`, having said each of `texts`."""
        result = self.run(*words)
        said = result.stdout + result.stderr
        assert result.returncode == code, (words, result)
        for text in texts:
            assert text in said, (words, text, said)
        for text in without:
            assert text not in said, (words, text, said)
        return said


def commands(place):
    for word, meant in [("lint", "shards lint"), ("convert", "shards convert"), ("keys", "config keys"),
                        ("retrieval", "eval retrieval")]:
        place.says(2, [word], f"unknown command '{word}'; did you mean {meant}?")
    assert place.says(0, ["help", "shards", "lint"]) == place.says(0, ["shards", "lint", "--help"])
    place.says(2, ["train", CONFIG, "--gpus=2"], "unknown option --gpus; did you mean --ranks?")
    place.write("tars/0.tar", "")
    place.write("tars/1.tar", "")
    place.says(2, ["shards", "lint", "tars/0.tar", "tars/1.tar"], "unexpected argument 'tars/1.tar'; quote a pattern",
               "'tars/*.tar'")
    place.says(1, ["shards", "convert", "tars/0.tar", "tars/1.tar"], "tars/1.tar: is a shard, not a new folder",
               "quote that: 'tars/*.tar'")


def configs(place):
    near = place.write("mine/quickstart.toml", "")
    place.says(2, ["train", str(near.with_name("quikstart.toml"))], f"no such file; did you mean {near}?")
    place.says(2, ["train", str(near)], f"config keys objective.mode says which)")
    for word, meant in [("pipeline.worker=3", "pipeline.threads"), ("learning_rate.warmp=3", "learning_rate.warmup"),
                        ("train.batchsize=3", "train.batch_size")]:
        place.says(2, ["config", "check", CONFIG, word], f"did you mean {meant}?")
    for word, meant in [("train.precision=amp_bfloat16", "amp_bf16"), ("objective.name=clip", "openclip"),
                        ("objective.name=fastclip_v33", "fastclip_v3"), ("train.device=gpu", "cuda")]:
        place.says(2, ["config", "check", CONFIG, word], f"; did you mean {meant}?")
    place.says(2, ["config", "keys", "learning_rate.warmp"], "did you mean learning_rate.warmup?")
    place.says(2, ["config", "keys", "wandb"], "upload them with wandb sync")
    shared = place.says(0, ["config", "keys", "learning_rate.lr"])
    assert shared.count("from lr down to lr_min") == 1 and "learning_rate.lr_min = " in shared, shared
    place.says(1, ["train", CONFIG, "train.device=cpu", "--dry-run"], "; tools/quickstart.sh makes these files")


def convert_and_lint(place):
    place.write("a.png", png(1))
    place.write("empty.jpg", b"")
    place.write("t.csv", "filepath,caption\na.png,one\nmissing.png,two\nempty.jpg,three\n")
    place.says(0, ["shards", "convert", "t.csv", "out/"], "images were copied without decoding them",
               "shards lint 'out/*.tar'", "out: 1 of 3 rows", "rows are counted from 0, without the header",
               without=["out//"])
    place.says(0, ["shards", "convert", "t.csv", "small/", "--resize", "4"], without=["without decoding"])
    place.says(1, ["shards", "lint", "t.csv"], "t.csv: row 1, counted from 0 without the header (missing.png): missing",
               "1 of 3 checked images is skipped (as empty.jpg): empty")
    place.says(1, ["shards", "lint", "t.csv,a.tar"], "several are joined with '::', as in 't.csv::a.tar'")


def runs(place):
    shades = "".join(f"{i}.png,number {i}\n" for i in range(40))
    for i in range(40):
        place.write(f"{i}.png", png(i))
    pairs = place.write("pairs.csv", "filepath,caption\n" + shades)
    place.write("other.csv", "pic,caption\n" + shades)
    place.write("model.toml", MODEL)
    place.write("run.toml", '[train]\nepochs = 1\nbatch_size = 8\nthreads = 1\ndevice = "cpu"\n[data]\ntrain = "pairs.csv"\n'
                '[model]\nname = "model.toml"\n[objective]\nname = "fastclip_v3"\nmode = "exact"\n[gamma]\n'
                'schedule = "advice"\n')
    train = ["train", "run.toml", "run=run"]

    place.says(2, [*train, "data.val=other.csv", "data.image_key=filepath"], "data.val: other.csv",
               "holds for data.train, data.val and eval.zeroshot alike")
    place.says(2, [*train, "model.pretrained=none.safetensors"], "model.pretrained: none.safetensors: no such file",
               f"(relative to {place.folder})")
    place.says(0, [*train, "train.batch_size=32", "train.epochs=10", "--dry-run"], "gamma advice from 1 to", "(gamma.min is ",
               "up to 24 of a batch's 32 records could not be replaced", "use a train.batch_size of at most 20")
    place.says(2, [*train, "train.batch_size=64"], "use at most 20, half of it")
    place.says(2, [*train, "precision", "amp"], "'precision' is not of the form section.key=value; did you mean train.precision?")
    place.says(2, ["eval", "run", "--shards", "pairs.csv"], "unknown command 'eval run'; use retrieval, zeroshot, linear, classify;")
    place.says(2, [*train, "train.init=none"], "train.init: none: no such file or folder")
    place.says(0, [*train, "resume=true", "--dry-run"], "warning     resume = true, but run has no checkpoint")
    place.says(0, [*train, "resume=true"], "warning: resume = true, but run has no checkpoint: a new run starts there")
    place.says(2, ["train", "run.toml", "run=next", "model.pretrained=run"], "model.pretrained: run is a folder",
               "train.init=run")
    place.says(1, ["eval", "retrieval", "run/checkpoints/step_7", "--shards", "pairs.csv"],
               "step_7: no such checkpoint; run/checkpoints has step_5")
    place.says(1, ["eval", "retrieval", "nowhere", "--shards", "pairs.csv"], "nowhere: no such file or folder (relative")
    place.says(1, ["estimators", "show", "run", "400"], "no record has index 400; use 0 to 39")

    place.write("set/qqq/0.png", png(1))
    place.write("set/zzz/0.png", png(2))
    place.says(1, ["eval", "zeroshot", "run", "--shards", "set", "--classes", "imagenet"], "or leave out --classes")

    said = place.says(2, ["train", "run", "resume=true", "train.batch_size=10"],
                      "train.batch_size was 8 in this run and is 10 now", "uses the run's own config")
    assert said.count("resume=true") == 1, said
    place.says(0, ["train", "run", "resume=true", "train.epochs=20"], "resume: gamma.min 1.0 → 0.47",
               "follows from train.epochs")

    renamed = place.folder / "renamed.csv"
    pairs.rename(renamed)
    place.says(2, ["train", "run", "resume=true", "data.train=renamed.csv"], f"{pairs} is {renamed} now, with the same",
               "give it its old name", without=["more file"])
    place.says(1, ["train", "run", "resume=true"], "all indexed files are missing", "set data.train=NEW/PATH")
    place.write("moved/pairs.csv", renamed.read_bytes())
    for i in range(40):
        place.write(f"moved/{i}.png", png(i))
    place.says(0, ["train", "run", "resume=true", "data.train=moved/pairs.csv"], "nothing is left to train")


def bad_images_at_a_start(place):
    for i in range(40):
        place.write(f"{i}.png", png(i))
    place.write("8.png", "no picture")
    place.write("9.png", "")
    place.write("pairs.csv", "filepath,caption\n" + "".join(f"{i}.png,number {i}\n" for i in range(40)) + "gone.png,x\n")
    place.write("model.toml", MODEL)
    said = place.says(0, ["train", CONFIG, "run=run", "data.train=pairs.csv", "data.val=", "model.name=model.toml",
                          "train.batch_size=8", "train.device=cpu", "--dry-run"],
                      "data.train: 3 of 41 checked records cannot be used: 1 of no known image format (as 8.png), "
                      "1 empty (as 9.png), 1 missing (as gone.png); ", "shards lint lists all")
    assert said.count(" checked ") == 1, said
    crowd = os.cpu_count() + 1
    words = ["train", CONFIG, "run=run", "data.train=synthetic:4000", "data.val=", "model.name=model.toml",
             f"train.batch_size={8 * crowd}", "train.device=cpu", "--dry-run", "--ranks"]
    cores = len(os.sched_getaffinity(0))
    place.says(0, [*words, str(crowd)], f"warning     {crowd} ranks share {cores} core", f" for all {crowd}")
    place.says(0, [*words, "1"], without=["ranks share", "for all"])


for check in [commands, configs, convert_and_lint, runs, bad_images_at_a_start]:
    with tempfile.TemporaryDirectory() as made:
        check(Place(os.path.realpath(made)))
        print(check.__name__)
