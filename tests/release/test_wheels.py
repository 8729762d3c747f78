from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

from models.progress import Progress
from release import lock as release_lock
from release import wheels
from release.errors import ReleaseError
from serve import commit
from tests.house.tree import PACKAGES, ROOT, files, name_of
from tests.hub.pulls import Watch
from tests.release.wheels import lock, made

WEIGHTS = {name_of(path) for path in (ROOT / "models" / "demo" / "weights").iterdir()}
"""Left out of tests/house/tree.py's files, as nobody wrote them."""


@pytest.fixture(autouse=True)
def no_index(monkeypatch):
    """The user's configuration of pip, here: no index at all."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def held(path, folder):
    return wheels.held_to(release_lock.read(path), folder, Progress(Watch()))


def test_pip_brings_what_is_locked_from_where_it_is_told(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    path = lock(tmp_path / "x.lock", [made(there, "a"), made(there, "b", "2.0")])
    with pytest.raises(ReleaseError, match="PIP_FIND_LINKS"):
        wheels.fetch(path, here)
    monkeypatch.setenv("PIP_FIND_LINKS", str(there))
    wheels.fetch(path, here)
    assert [(wheel.name, wheel.version) for wheel in held(path, here)] == [
        ("a", "1.0"),
        ("b", "2.0"),
    ]


def test_pip_refuses_another_hash(tmp_path, monkeypatch):
    path = lock(tmp_path / "x.lock", [made(tmp_path / "there", "a")])
    made(tmp_path / "there", "a", head="Summary: changed\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "there"))
    with pytest.raises(ReleaseError):
        wheels.fetch(path, tmp_path / "here")


def test_a_wheel_that_is_not_of_the_lock_is_refused_and_left_alone(tmp_path):
    here = tmp_path / "here"
    path = lock(tmp_path / "x.lock", [made(here, "a")])
    made(here, "intramural", "0.0.1")
    assert [wheel.name for wheel in held(path, here)] == ["a"]
    assert [file.name for file in here.iterdir()] == ["a-1.0-py3-none-any.whl"]
    stranger = made(here, "stranger")
    with pytest.raises(ReleaseError, match=f"not in the lock: {stranger.name}"):
        held(path, here)
    assert stranger.is_file()


def test_a_wheel_of_the_lock_that_is_not_there_is_missed(tmp_path):
    here = tmp_path / "here"
    path = lock(tmp_path / "x.lock", [made(here, "a")])
    made(here, "a", head="Summary: changed\n")
    with pytest.raises(ReleaseError, match=r"a 1\.0 with a hash of the lock"):
        held(path, here)


def test_a_lock_that_calls_a_file_by_another_name_is_refused(tmp_path):
    path = lock(tmp_path / "x.lock", [made(tmp_path / "here", "a")])
    path.write_text(path.read_text().replace("a==", "other=="))
    with pytest.raises(ReleaseError, match=r"other 1\.0 of a file that is a 1\.0"):
        held(path, tmp_path / "here")


def test_what_is_no_wheel(tmp_path):
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "b-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("b.py", "")
    for path in tmp_path.iterdir():
        with pytest.raises(ReleaseError, match="is not a wheel"):
            wheels.read(path, "")


def test_lines_that_run_at_every_start_are_seen(tmp_path):
    files = {"a.pth": "import os", "deep/b.pth": ""}
    assert wheels.read(made(tmp_path, "a", **files), "").startup_files == ("a.pth",)


def test_our_own_wheel_has_all_that_is_needed_and_is_the_same_again(tmp_path):
    own = wheels.own(tmp_path / "one")
    assert wheels.own(tmp_path / "two").sha256 == own.sha256
    with zipfile.ZipFile(own.path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        told = archive.read(f"serve/{commit.BAKED}").decode().strip()
        (entry,) = (n for n in archive.namelist() if n.endswith("/entry_points.txt"))
        assert "intramural = serve.cli.console:main" in archive.read(entry).decode()
        archive.extractall(tmp_path / "installed")
    on_disk = {
        name_of(path)
        for name in PACKAGES
        for path in files(ROOT / name)
        if path.name != "README.md"
    }
    assert names == {*on_disk, *WEIGHTS, f"serve/{commit.BAKED}"}
    assert told == commit.of_checkout(ROOT)
    result = subprocess.run(
        [sys.executable, "-m", "models", "verify", "demo", "--data-dir", str(tmp_path)],
        cwd=tmp_path / "installed",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "demo is whole" in result.stdout, result.stderr
