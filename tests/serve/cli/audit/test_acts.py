"""Reading of contents is recorded: beside the logs, or of a read-only copy in the reader's log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.cli.audit import acts, run_audit
from serve.errors import StartupError
from tests.serve.cli.audit.site import Site
from tests.serve.cli.audit.test_export import export, filled
from tests.serve.cli.audit.test_prove import prove
from tests.serve.cli.audit.test_verdicts import verify


@pytest.fixture
def copy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose folder cannot be written; root could, so it is said to be so."""
    filled(site, 2)
    monkeypatch.setattr(acts.os, "access", lambda *_, **_more: False)
    return site


def state_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def recorded(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    capsys.readouterr()
    assert run_audit(["search", str(folder), "--log", acts.NAME, "--json"]) == 0
    return [json.loads(line)["record"] for line in capsys.readouterr().out.splitlines()]


def test_what_reads_no_contents_writes_nothing(copy, capsys):
    before = state_of(copy.audit)
    assert verify(copy) == 0
    assert run_audit(["search", str(copy.audit), "--log-key", str(copy.public)]) == 0
    assert export(copy) == 0
    assert prove(copy, "0") == 0
    assert state_of(copy.audit) == before


@pytest.mark.parametrize("command", ["export", "prove"])
def test_contents_of_a_copy_are_read_where_that_is_recorded_elsewhere(copy, capsys, command):
    before = state_of(copy.audit)
    words = ["--content-key-file", str(copy.content_key)]

    def run(*more: str) -> int:
        return (
            export(copy, *words, *more) if command == "export" else prove(copy, "0", *words, *more)
        )

    with pytest.raises(StartupError, match=r"contents are read cannot be recorded.*--record-dir"):
        run()
    assert "secret" not in capsys.readouterr().out
    own = copy.root / "own"
    assert run("--record-dir", str(own)) == 0
    if command == "export":
        assert "secret 0" in capsys.readouterr().out
    assert state_of(copy.audit) == before
    begin, end = recorded(own, capsys)
    assert begin["act"] == {"export": "audit.export", "prove": "audit.disclose"}[command]
    assert begin["details"]["dir"] == str(copy.audit)
    assert end["outcome"] == "done"
    assert run_audit(["verify", str(own)]) == 0


def test_elsewhere_is_for_what_cannot_be_written(site, capsys):
    filled(site, 1)
    words = ["--content-key-file", str(site.content_key), "--record-dir", str(site.root / "own")]
    with pytest.raises(StartupError, match="can be written, so it is recorded there"):
        export(site, *words)
    assert "secret" not in capsys.readouterr().out
    with pytest.raises(StartupError, match="--record-dir goes with --content-key-file"):
        export(site, *words[2:])
    with pytest.raises(StartupError, match="--record-dir goes with --content-key-file"):
        prove(site, "0", *words[2:])
