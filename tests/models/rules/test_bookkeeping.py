"""Left by file systems and desktops: passed over by rules, manifests and `show`; code is not."""

from __future__ import annotations

import os

import pytest

from models import policy
from models.__main__ import main
from models.rules.bookkeeping import is_bookkeeping
from models.trust.manifest import Manifest
from models.trust.verify import verify
from tests.models.folders import whole

FOLDERS = [
    "lost+found",
    ".Trash-1000",
    "System Volume Information",
    ".snapshot",
    "@eaDir",
    ".cache",
]
FILES = [".DS_Store", "Thumbs.db", ".nfs0000000012ab34cd", ".gitattributes"]
CODE = [".ipynb_checkpoints/x.py", ".Trash-me/x.py", ".nfsx", "._config.json", "lost+found.py"]


@pytest.fixture
def folder(tmp_path):
    return whole(tmp_path / "m")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_passed_over_everywhere(folder, name, capsys):
    """A volume's own folders are for its owner alone, which is not whom the server runs as."""
    (folder / name).mkdir(mode=0o700)
    (folder / name / "x.py").touch()
    policy.check(folder)
    assert policy.passed_over(folder) == [name]
    Manifest.build(folder).write(folder)
    assert verify(folder).is_ok
    assert [file.path for file in Manifest.read(folder).files] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert main(["show", str(folder)]) == 0
    assert f"passed over  {name}" in capsys.readouterr().out


def test_nothing_within_is_looked_at(folder, monkeypatch):
    (folder / "lost+found").mkdir()
    real = os.scandir

    def refused(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    policy.check(folder)
    Manifest.build(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_passed_over(folder, name):
    (folder / name).touch()
    policy.check(folder)


@pytest.mark.parametrize("name", CODE)
def test_what_could_be_code_or_be_loaded_is_not(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    assert list(policy.inspect(folder))


@pytest.mark.parametrize("name", [*FOLDERS[:-1], *FILES[:-1]])
def test_the_same_name_of_another_kind_is_not(folder, name):
    if name in FOLDERS:
        (folder / name).touch()
    else:
        (folder / name).mkdir()
    with os.scandir(folder) as entries:
        assert not any(is_bookkeeping(entry) for entry in entries)
    (folder / name).rename(folder.parent / "x")
    (folder / name).symlink_to(folder.parent / "x")
    assert list(policy.inspect(folder))
