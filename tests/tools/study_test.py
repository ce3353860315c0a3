"""tools/study: what it chooses, what it runs again, what it writes. The runs themselves are made up here."""

import importlib.util
import json
import pathlib
import tempfile
import tomllib
import xml.dom.minidom

HERE = pathlib.Path("tools/study")
spec = importlib.util.spec_from_file_location("study", HERE / "study.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)

PLAN = {
    "config": "c.toml",
    "words": ["train.batch_size=64"],
    "search": {"epochs": 4, "seed": 1, "validation": 5},
    "final": {"epochs": 10, "seeds": [1, 2]},
    "method": [
        {"name": "v3 exact", "words": ["objective.name=v3"], "settings": [["a.b=1"], ["a.b=3"], ["a.b=2"]]},
        {"name": "openclip", "words": ["objective.name=openclip"], "settings": [["a.b=0"]]},
    ],
}
ran = []


def made_up(command, log=None):
    """A run is as good as its setting a.b, and a little of its seed."""
    if command[1] == "train":
        words = dict(word.split("=", 1) for word in command[3:])
        ran.append(command)
        folder = pathlib.Path(words["run"])
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(json.dumps({"event": "train", "tau": 0.05}) + "\n")
        (folder / "good").write_text(str(0.1 * int(words["a.b"]) + 0.01 * int(words["train.seed"])))
        return ""
    good = float((pathlib.Path(command[3]) / "good").read_text())
    return json.dumps({f"{way}_R@{k}": good for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)})


def main():
    study.run = made_up
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shards = {"search": ("fit", "validation"), "final": ("train", "heldout")}
        fresh = lambda: study.Study(PLAN, folder / "work", folder / "results", shards)
        first = fresh()
        method = PLAN["method"][0]
        assert first.best_setting(method) == ["a.b=3"]
        assert len(ran) == 3
        # A study that goes on runs nothing again, and nothing of the runs but their results is kept.
        assert fresh().best_setting(method) == ["a.b=3"] and len(ran) == 3
        assert not any((folder / "work").rglob("metrics.jsonl"))
        # Another setting under the same name is another run.
        changed = dict(method, settings=[["a.b=1"], ["a.b=4"], ["a.b=2"]])
        assert fresh().best_setting(changed) == ["a.b=4"] and len(ran) == 4
        rows = [(m, s, first.final(m, s)) for m, s in ((method, ["a.b=3"]), (PLAN["method"][1], ["a.b=0"]))]
        assert len(ran) == 8
        text = study.table(rows)
        assert "| v3 exact | b=3 | 31.5 ± 0.7 |" in text, text
        plot = xml.dom.minidom.parseString(study.plot(rows))
        assert len(plot.getElementsByTagName("circle")) == 4

    with open(HERE / "methods.toml", "rb") as file:
        plan = tomllib.load(file)
    assert len(plan["method"]) == 9, "nine methods and modes"
    assert {len(method["settings"]) for method in plan["method"]} == {6}, "equal effort"


if __name__ == "__main__":
    main()
