from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from models import staging
from models.__main__ import main
from models.lockfile import LockFile, Pin
from models.store import DirectoryStore
from models.trust.verified_cache import Stamp, Stamps
from tests.models.folders import whole

DIGEST = "sha256:" + "0" * 64


class Terminal(io.StringIO):
    """A stdin that is a terminal, at which the user types this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def data_dir(tmp_path) -> Path:
    for name in ("a", "b"):
        folder = whole(tmp_path / "models" / name)
        LockFile(tmp_path).put(name, Pin(digest=DIGEST))
        Stamps(tmp_path).write(Stamp(folder=folder.resolve(), digest=DIGEST, files={}))
    return tmp_path


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    output = capsys.readouterr()
    return code, output.out, output.err


def stage(data_dir: Path, name: str, num_bytes: int) -> None:
    with staging.staged(data_dir / "models", name) as staged:
        (staged.parts / "x").write_bytes(bytes(num_bytes))


def test_rm_removes_the_model_its_pin_and_its_stamp(data_dir, capsys):
    code, out, _ = run(capsys, "rm", "a", "--yes", "--data-dir", str(data_dir))
    assert code == 0
    assert out.startswith("removed a (")
    assert DirectoryStore(data_dir).names() == ["b"]
    assert set(LockFile(data_dir).read()) == {"b"}
    assert len(list((data_dir / "stamps").iterdir())) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1)])
def test_rm_asks(data_dir, capsys, monkeypatch, answer, code):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    found, _, err = run(capsys, "rm", "a", "--data-dir", str(data_dir))
    assert found == code
    assert "remove? [y/N]" in err
    assert DirectoryStore(data_dir).names() == (["a", "b"] if code else ["b"])


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], "--yes"),
        (["demo", "--yes"], "built in"),
        (["a", "none", "--yes"], "no model 'none'"),
        (["../models/a", "--yes"], "not a name in the store"),
    ],
)
def test_rm_refuses_and_removes_nothing(data_dir, capsys, monkeypatch, names, says):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = run(capsys, "rm", *names, "--data-dir", str(data_dir))
    assert code == 2
    assert says in err
    assert DirectoryStore(data_dir).names() == ["a", "b"]


def test_rm_as_json(data_dir, capsys):
    _, out, _ = run(capsys, "rm", "a", "b", "--yes", "--json", "--data-dir", str(data_dir))
    assert [row["name"] for row in json.loads(out)["removed"]] == ["a", "b"]


def test_du(data_dir, capsys):
    stage(data_dir, "half", 5000)
    code, out, _ = run(capsys, "du", "--json", "--data-dir", str(data_dir))
    found = json.loads(out)
    assert code == 0
    assert [row["name"] for row in found["models"]] == ["a", "b"]
    assert found["staged"] == [{"name": "half", "size_bytes": 5000}]
    sizes = [row["size_bytes"] for row in found["models"]]
    assert found["total_bytes"] == sum(sizes) + 5000
    assert found["free_bytes"] > 0
    _, out, _ = run(capsys, "du", "--data-dir", str(data_dir))
    assert "half (staged" in out


def test_du_of_nothing(tmp_path, capsys):
    code, out, _ = run(capsys, "du", "--data-dir", str(tmp_path / "none" / "yet"))
    assert code == 0
    assert "0 B  in all" in out


def test_gc_shows_first_and_removes_when_told(data_dir, capsys):
    stage(data_dir, "half", 5000)
    gone = Stamp(folder=data_dir / "models" / "gone", digest=DIGEST, files={})
    Stamps(data_dir).write(gone)
    code, out, _ = run(capsys, "gc", "--json", "--data-dir", str(data_dir))
    found = json.loads(out)
    assert code == 0
    assert not found["removed"]
    assert [leftover["kind"] for leftover in found["leftovers"]] == ["staged", "stamp"]
    assert staging.names(data_dir / "models") == ["half"]
    _, out, _ = run(capsys, "gc", "--yes", "--data-dir", str(data_dir))
    assert "removed" in out
    assert staging.names(data_dir / "models") == []
    assert len(list((data_dir / "stamps").iterdir())) == 2
    assert DirectoryStore(data_dir).names() == ["a", "b"]
    _, out, _ = run(capsys, "gc", "--data-dir", str(data_dir))
    assert out == "nothing is left over\n"


def test_gc_leaves_what_is_being_worked_on(data_dir, capsys):
    with staging.staged(data_dir / "models", "busy"):
        _, out, _ = run(capsys, "gc", "--yes", "--data-dir", str(data_dir))
        assert out == "nothing is left over\n"
        assert staging.names(data_dir / "models") == ["busy"]
