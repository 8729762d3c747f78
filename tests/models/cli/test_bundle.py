"""`bundle` and `import` as commands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from models.__main__ import main
from models.cli import bundle as bundle_command
from models.lockfile import LockFile, Pin
from models.trust import verified_cache
from models.trust.manifest import Manifest
from tests.house.tree import ROOT
from tests.models.bundle.bundles import NAME, contents, flip, model


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(verified_cache, "SETTLED_NS", -(10**12))
    monkeypatch.setattr(bundle_command, "MIN_SPLIT", 1000)
    model(tmp_path / "data" / "models" / NAME)
    return tmp_path / "data"


@pytest.fixture
def over_there(tmp_path):
    return tmp_path / "over-there"


def run(data, *words) -> int:
    return main([*map(str, words), "--data-dir", str(data)])


def told(data, capsys, *words) -> tuple[int, list[dict]]:
    capsys.readouterr()
    code = run(data, *words, "--json")
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_from_one_store_to_another_with_a_signature(data, over_there, tmp_path, capsys):
    assert run(data, "keygen", tmp_path / "k.pem") == 0
    out = tmp_path / "out"
    words = ["bundle", NAME, "--out", out, "--split", "10kB", "--sign", tmp_path / "k.pem"]
    assert run(data, *words) == 0
    said = capsys.readouterr().out
    digest = Manifest.read(data / "models" / NAME).digest
    assert digest in said
    assert f"python -m models import {out}" in said
    assert run(over_there, "import", out, "--trust", tmp_path / "k.pub") == 0
    said = capsys.readouterr().out
    assert "signed by k.pub" in said
    assert f"python -m serve --model {NAME} --data-dir {over_there}\n" in said
    assert run(over_there, "verify", NAME) == 0
    assert contents(over_there / "models" / NAME) == contents(data / "models" / NAME)


def test_as_json_lines(data, over_there, tmp_path, capsys):
    out = tmp_path / "out"
    code, events = told(data, capsys, "bundle", NAME, "--out", out, "--split", "10kB")
    done = events[-1]
    assert code == 0
    assert {event["event"] for event in events} == {"progress", "done"}
    assert (done["num_parts"], done["num_kept"], done["key_id"]) == (5, 0, None)
    code, events = told(over_there, capsys, "import", out)
    assert code == 0
    assert events[-1] == {
        "event": "done",
        "outcome": "imported",
        "name": NAME,
        "path": str(over_there.resolve() / "models" / NAME),
        "digest": done["digest"],
        "repo": "acme/tiny",
        "commit": "c" * 40,
        "key_id": None,
    }


def test_what_is_not_in_order_ends_with_1(data, over_there, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(data, "bundle", NAME, "--out", out, "--split", "10kB") == 0
    flip(out / f"{NAME}.part002")
    code, events = told(over_there, capsys, "import", out)
    assert code == 1
    assert (events[-1]["event"], events[-1]["kind"]) == ("error", "PartsMissingError")
    assert run(over_there, "import", out) == 1
    assert "part002 is damaged" in capsys.readouterr().err
    flip(data / "models" / NAME / "config.json")
    code, events = told(data, capsys, "bundle", NAME, "--out", tmp_path / "out2")
    assert (code, events[-1]["event"]) == (1, "error")
    assert "config.json" in events[-1]["message"]


def test_what_cannot_be_done_ends_with_2(data, tmp_path, capsys):
    assert run(data, "import", tmp_path / "nowhere") == 2
    assert "error: " in capsys.readouterr().err
    code, events = told(data, capsys, "bundle", "no-such-model", "--out", tmp_path / "out")
    assert (code, events[-1]["kind"]) == (2, "ModelNotFoundError")
    code, events = told(data, capsys, "bundle", NAME, "--out", tmp_path, "--sign", "/dev/null")
    assert (code, events[-1]["kind"]) == (2, "SignatureError")


def test_a_stored_model_is_held_to_its_pin(data, tmp_path, capsys):
    LockFile(data).put(NAME, Pin(digest="sha256:" + "0" * 64))
    assert run(data, "bundle", NAME, "--out", tmp_path / "out") == 1
    assert "pinned" in capsys.readouterr().err


def test_the_built_in_model_gets_a_name_of_its_own(tmp_path, over_there, capsys):
    assert run(tmp_path / "data", "bundle", "demo", "--out", tmp_path / "out") == 0
    assert run(over_there, "import", tmp_path / "out") == 0
    assert (over_there / "models" / "intramural-demo" / "config.json").is_file()


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("4GB", 4 * 10**9), ("700 MB", 7 * 10**8), ("1.5GiB", 3 << 29), ("70000", 70_000)],
)
def test_sizes(text, num_bytes):
    assert bundle_command._part_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GB", "4 PB", "-1", "10kB", "4GB2"])
def test_what_is_no_size(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, "bundle", "demo", "--out", tmp_path, "--split", text)
    assert "--split" in capsys.readouterr().err


def test_parts_that_fat32_cannot_hold_are_told(tmp_path, capsys):
    code, events = told(
        tmp_path, capsys, "bundle", "demo", "--out", tmp_path / "out", "--split", "4GiB"
    )
    assert code == 0
    assert any("FAT32" in event.get("message", "") for event in events)


@pytest.mark.parametrize("command", ["bundle", "import"])
def test_help_has_examples_and_fits(command):
    result = subprocess.run(
        [sys.executable, "-m", "models", command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"  python -m models {command} " in result.stdout
    assert "exit codes:" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
