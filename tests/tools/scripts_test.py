"""The scripts of tools/: they say what they do, are sound shell, and install, pinned, all that their Python imports."""

import ast
import pathlib
import re
import shutil
import subprocess
import sys

# What gives a module that is imported, where the name of the package is another or it needs more than it declares.
PACKAGES = {
    "PIL": ["pillow"],
    "braceexpand": ["webdataset"],  # which depends on it
    "open_clip": ["open_clip_torch"],
    "open_clip_train": ["open_clip_torch", "pandas", "webdataset"],  # its trainer's imports, not among its dependencies
    "nvidia": ["nvidia-dali-cuda130"],
}


def pinned():
    """The packages that tools/peers.sh installs."""
    text = pathlib.Path("tools/peers.sh").read_text().replace("\\\n", " ")
    words = [word for line in re.findall(r'^ *environment "\$\w+" (.*)$', text, re.MULTILINE) for word in line.split()]
    assert words and all(re.fullmatch(r"[\w.-]+==[\w.]+", word) for word in words), f"each has one version: {words}"
    return {word.split("==")[0] for word in words}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def main():
    scripts = sorted(pathlib.Path("tools").glob("*.sh"))
    assert len(scripts) >= 6, scripts
    for script in scripts:
        said = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
        assert said.returncode == 0 and len(said.stdout) > 20 and not said.stderr, (script, said)
    own_options = {"quickstart", "quickstart_data", "setup", "peers", "fuzz", "test", "gpu_bundle", "gpu_check"}
    for script in own_options:
        said = subprocess.run([f"tools/{script}.sh", "no-such-word"], capture_output=True, text=True, timeout=60)
        assert said.returncode == 2 and said.stderr, (script, said)

    packages = pinned()
    folders = [pathlib.Path("tools/peers"), pathlib.Path("tools/gpu"), pathlib.Path("tests/golden")]
    own = {path.stem for folder in folders for path in folder.glob("*.py")}
    for path in (path for folder in folders for path in folder.glob("*.py")):
        for module in set(imported(path)) - set(sys.stdlib_module_names) - own:
            missing = set(PACKAGES.get(module, [module])) - packages
            assert not missing, f"{path} imports {module}: tools/peers.sh does not install {missing}"

    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", *scripts, *pathlib.Path("tests").glob("*.sh")], check=True)


if __name__ == "__main__":
    main()
