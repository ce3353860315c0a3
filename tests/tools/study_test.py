"""tools/study: what it chooses, what it runs again, what it writes. The runs themselves are made up here."""

import concurrent.futures
import importlib.util
import json
import pathlib
import subprocess
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


def made_up_training(command, log):
    """A run is as good as its setting a.b, and a little of its seed."""
    if "a.b=9" in command:
        raise subprocess.CalledProcessError(1, command)
    words = dict(word.split("=", 1) for word in command[3:])
    ran.append(command)
    folder = pathlib.Path(words["run"])
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(json.dumps({"event": "train", "tau": 0.05}) + "\n")
    (folder / "good").write_text(str(0.1 * int(words["a.b"]) + 0.01 * int(words["train.seed"])))
    return 7


def made_up_evaluation(command):
    if command[1] == "--version":
        return "fastclip 1\n"
    if command[1] == "shards":
        return json.dumps({"hash": "of " + command[3]})
    good = float((pathlib.Path(command[3]) / "good").read_text())
    return json.dumps({f"{way}_R@{k}": good for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)})


def main():
    study.run_logged, study.run = made_up_training, made_up_evaluation
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as workers:
        folder = pathlib.Path(folder)
        shards = {"search": ("fit", "validation"), "final": ("train", "heldout")}
        origins = study.origin_of(shards)
        assert origins["search"] == {"program": "fastclip 1", "train": "of fit", "test": "of validation"}, origins
        fresh = lambda plan=PLAN, origins=origins, dry=False: study.Study(
            plan, folder / "work", folder / "results", shards, origins, dry)
        chosen = fresh().search(workers)
        assert [setting for _, setting in chosen] == [["a.b=3"], ["a.b=0"]]
        assert len(ran) == 4
        # A study that goes on runs nothing again, and nothing of the runs but their results is kept.
        assert fresh().search(workers) == chosen and len(ran) == 4
        assert not any((folder / "work").rglob("metrics.jsonl"))
        # Another setting under the same name is another run.
        method = dict(PLAN["method"][0], settings=[["a.b=1"], ["a.b=4"], ["a.b=2"]])
        assert fresh(PLAN | {"method": [method]}).search(workers)[0][1] == ["a.b=4"] and len(ran) == 5
        rows = fresh().final(chosen[::-1], workers)
        assert len(ran) == 9
        text = study.table(rows)
        assert "| v3 exact | b=3 | 31.5 ± 0.7 |" in text.splitlines()[2], "the best stands first: " + text
        assert text.splitlines()[2].endswith("| 0.050 | 7 |"), text
        plot = xml.dom.minidom.parseString(study.plot(rows))
        assert len(plot.getElementsByTagName("circle")) == 4
        # What was measured on other data, or by another version, is set aside and measured again.
        other = origins | {"search": origins["search"] | {"test": "of 497 pictures"}}
        listed = fresh(origins=other, dry=True)
        assert listed.final(listed.search(workers), workers) == [] and len(ran) == 9
        assert sorted(name for name, _, _ in listed.missing) == [
            "search: openclip-0", "search: v3-exact-0", "search: v3-exact-1", "search: v3-exact-2"], listed.missing
        assert any("test was of validation, is of 497 pictures" in differs for _, differs, _ in listed.missing)
        assert fresh(origins=other).search(workers) == chosen and len(ran) == 13
        assert len(list((folder / "results/set-aside/search").iterdir())) == 5
        newer = {phase: origin | {"program": "fastclip 2"} for phase, origin in other.items()}
        fresh(origins=newer).final(chosen, workers)
        assert len(ran) == 17
        # So is what does not tell what it was measured on.
        file = folder / "results/search/openclip-0.json"
        result = json.loads(file.read_text())
        del result["origin"]
        file.write_text(json.dumps(result))
        fresh(origins=other).search(workers)
        assert len(ran) == 18
        # A run that fails ends the study.
        failing = dict(PLAN["method"][0], settings=[["a.b=9"]])
        try:
            fresh(PLAN | {"method": [failing]}).search(workers)
            raise AssertionError("a failed run was passed over")
        except subprocess.CalledProcessError:
            pass

    with open(HERE / "methods.toml", "rb") as file:
        plan = tomllib.load(file)
    assert len(plan["method"]) == 9, "nine methods and modes"
    assert {len(method["settings"]) for method in plan["method"]} == {6}, "equal effort"


if __name__ == "__main__":
    main()
