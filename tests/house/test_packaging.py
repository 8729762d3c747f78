"""What is installed, what is tested, what is locked."""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import lock as release_lock
from tests.house.tree import PACKAGES, ROOT, files, pyproject, python_files

MODEL_PATHS = ("models", "models/demo", "models/demo/weights", "models/demo/weights/x.safetensors")


def ignored(patterns: str, path: str) -> bool:
    """Whether a .gitignore of plain patterns hides the path or a folder on its way."""
    parts = Path(path).parts
    ways = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for line in patterns.splitlines():
        pattern = line.strip().removeprefix("**/")
        if not pattern or pattern.startswith("#"):
            continue
        is_anchored = "/" in pattern.rstrip("/")
        pattern = pattern.strip("/")
        for way in ways:
            if fnmatch.fnmatch(way if is_anchored else Path(way).name, pattern):
                return True
    return False


def without_init(folder: Path) -> list[str]:
    """Folders that hold Python files and no __init__.py."""
    return sorted(
        {
            str(path.parent)
            for path in files(folder)
            if path.suffix == ".py" and not (path.parent / "__init__.py").is_file()
        }
    )


def lock_faults(text: str) -> list[str]:
    """Requirements without a hash, and lines that name an index or an address."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    faults = []
    for line in joined.splitlines():
        bare = line.split("#", 1)[0].strip()
        if not bare:
            continue
        if bare.startswith("-") or "://" in bare or "@" in bare.split("--hash", 1)[0]:
            faults.append(f"an index or an address: {bare}")
        elif not re.fullmatch(r"\S+==\S+( ;.*?)?( --hash=sha256:[0-9a-f]{64})+", bare):
            faults.append(f"not pinned by hash: {bare[:60]}")
    return faults


def test_the_packages_listed_are_those_on_disk():
    listed = pyproject()["tool"]["setuptools"]["packages"]
    on_disk = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for name in PACKAGES
        for path in files(ROOT / name)
        if path.name == "__init__.py"
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == on_disk


def test_the_distribution_cannot_be_uploaded():
    assert "Private :: Do Not Upload" in pyproject()["project"]["classifiers"]


NOT_ASKED_FOR = {
    "vllm": "an extra, or the lock: engines are chosen",
    "llmcompressor": "has an environment of its own (requirements/calibrate.lock)",
    "loguru": "as llmcompressor, whose log it is",
    "llama_cpp": "a peer that is measured, in an environment of its own",
    "gguf": "as llama_cpp",
    "bitsandbytes": "of nf4 and bnb-int8 alone; the lock has it",
}
"""What our modules import and the wheel does not ask for, and why."""


def asked_for(names: list[str]) -> set[str]:
    """These distributions and all that they ask for, without extras."""
    found: set[str] = set()
    while names:
        name = canonicalize_name(names.pop())
        if name in found:
            continue
        found.add(name)
        needs = map(Requirement, importlib.metadata.requires(name) or [])
        names += [
            one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of all imports, those within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_the_wheel_asks_for_all_that_its_modules_import():
    named = [Requirement(one).name for one in pyproject()["project"]["dependencies"]]
    there = asked_for(named)
    homes = importlib.metadata.packages_distributions()
    names = {
        name
        for path in python_files(*PACKAGES)
        for name in imported(ast.parse(path.read_text("utf-8")))
    } - {*sys.stdlib_module_names, *PACKAGES, "_typeshed"}  # of type checkers alone
    missing = {n for n in names if not there & {canonicalize_name(d) for d in homes.get(n, [])}}
    assert missing == NOT_ASKED_FOR.keys()


def test_the_locks_have_what_torch_asks_for():
    """Its row is put in by hand: requirements/torch.lock."""
    needs = asked_for(["torch"])
    for name in ("cpu", "dev", "calibrate"):
        locked = {one.name for one in release_lock.read(ROOT / "requirements" / f"{name}.lock")}
        assert needs - locked == set()


def test_one_row_of_torch_is_in_every_lock_for_cpus():
    (row,) = release_lock.read(ROOT / "requirements" / "torch.lock")
    assert len(row.hashes) == 3  # one for each Python
    for name in ("cpu", "dev", "calibrate"):
        assert row in release_lock.read(ROOT / "requirements" / f"{name}.lock")


def test_the_pythons_are_the_same_wherever_they_are_named():
    project = pyproject()["project"]
    versions = ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.11,<3.14"
    told = [c.rpartition(" ")[2] for c in project["classifiers"] if " Python :: 3." in c]
    assert told == versions
    script = (ROOT / "requirements" / "install.sh").read_text()
    assert f"{' | '.join(versions)})" in script
    assert "for python in 3.11 3.12 3.13" in (ROOT / "requirements" / "lock.sh").read_text()


def test_every_folder_of_python_is_a_package():
    assert [
        fault for name in (*PACKAGES, "tests", "docs") for fault in without_init(ROOT / name)
    ] == []


def test_a_folder_without_init_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "test_x.py").touch()
    assert without_init(tmp_path) == [str(tmp_path / "a")]


def test_models_are_never_ignored():
    patterns = (ROOT / ".gitignore").read_text("utf-8")
    assert [path for path in MODEL_PATHS if ignored(patterns, path)] == []


@pytest.mark.parametrize(
    "pattern", ["models/", "/models", "*.safetensors", "weights", "**/weights/", "models/demo/*"]
)
def test_a_pattern_that_would_ignore_them_is_found(pattern):
    assert any(ignored(f"# x\n{pattern}\n", path) for path in MODEL_PATHS)


@pytest.mark.parametrize(
    "lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda p: p.name
)
def test_locks_pin_every_byte_and_name_no_index(lock):
    assert lock_faults(lock.read_text("utf-8")) == []


def test_there_are_locks():
    assert {path.name for path in (ROOT / "requirements").glob("*.lock")} >= {
        "cpu.lock",
        "dev.lock",
    }


@pytest.mark.parametrize(
    "text",
    [
        "a==1\n",
        "a>=1 --hash=sha256:" + "0" * 64,
        "a==1 \\\n    --hash=sha256:short",
        "--index-url x",
        "--find-links y",
        "a @ https://h/a.whl --hash=sha256:" + "0" * 64,
    ],
)
def test_a_line_that_is_not_pinned_is_found(text):
    assert lock_faults(text)


def test_a_pinned_line_passes():
    assert (
        lock_faults("# made\na==1.0 ; x < 1 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via b")
        == []
    )
