"""`audit erase`: contents become noise, the log verifies as before, and a hold refuses."""

from __future__ import annotations

import json

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from tests.serve.cli.audit.site import Site, call, calls
from tests.serve.cli.audit.test_export import export, filled
from tests.serve.cli.audit.test_verdicts import verify


def erase(site: Site, *words: str) -> int:
    place = [str(site.audit), "--log-key", str(site.public), "--log", "llm-0"]
    return run_audit(["erase", *place, *words])


def readable(site: Site, capsys) -> list[int]:
    """Calls whose prompt can be read."""
    capsys.readouterr()
    words = ("--content-key-file", str(site.content_key), "--event", "begin", "--log", "llm-0")
    export(site, *words)
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [number for number, line in enumerate(lines) if "text" in line["content"]]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--tenant", "research", "--owner", "kim"], [1, 2, 3, 5, 6, 7]),
        (["--tenant", "legal"], [0, 1, 3, 4, 5, 7]),
        (["--tenant", "research"], [2, 6]),  # with k3, which has no owner and is theirs
        (["--key-id", "k3"], [0, 1, 2, 4, 5, 6]),
        (["--tenant", "nobody"], list(range(8))),
    ],
)
def test_whoever_is_erased_cannot_be_read_and_the_log_verifies(site, capsys, words, left):
    filled(site)
    before = (site.log / "checkpoint").read_bytes()
    assert erase(site, *words, "--dry-run") == 0
    assert readable(site, capsys) == list(range(8))
    assert erase(site, *words) == 0
    assert readable(site, capsys) == left
    assert (site.log / "checkpoint").read_bytes() == before
    assert verify(site, "--log", "llm-0") == 0


def test_that_no_holds_were_looked_at_is_said(site, capsys):
    filled(site)
    assert erase(site, "--tenant", "legal", "--dry-run") == 0
    assert "No legal holds are known here: name them by --holds FILE" in capsys.readouterr().err
    holds = site.root / "holds.toml"
    holds.write_text("")
    assert erase(site, "--tenant", "legal", "--dry-run", "--holds", str(holds)) == 0
    assert "No legal holds" not in capsys.readouterr().err


def test_an_erasure_is_recorded_in_a_log_of_its_own(site, capsys):
    filled(site)
    assert erase(site, "--tenant", "legal") == 0
    capsys.readouterr()
    place = [str(site.audit), "--log", "cli", "--json"]
    assert run_audit(["search", *place]) == 0
    begin, end = map(json.loads, capsys.readouterr().out.splitlines())
    record = begin["record"]
    assert end["record"]["outcome"] == "done"
    assert (record["type"], record["act"]) == ("admin", "audit.erase")
    assert record["details"] == {"log": "llm-0", "subject": "legal/kim"}
    assert run_audit(["verify", str(site.audit), "--log", "cli"]) == 0


def test_a_hold_refuses_whatever_its_times(site, capsys):
    filled(site)
    holds = site.root / "holds.toml"
    holds.write_text(
        '[[hold]]\nname = "case-1"\ntenant = "legal"\nfrom = 2020-01-01\nto = 2020-01-02'
    )
    assert erase(site, "--tenant", "legal", "--holds", str(holds)) == 1
    assert "REFUSED: the legal hold 'case-1' may cover it" in capsys.readouterr().out
    assert not (site.audit / "cli").exists()
    assert readable(site, capsys) == list(range(8))
    assert erase(site, "--tenant", "research", "--holds", str(holds)) == 0
    assert readable(site, capsys) == [2, 6]


def test_what_is_not_recorded_is_not_done(site, capsys):
    filled(site)
    (site.audit / "cli.key").write_text("no key")
    with pytest.raises(StartupError, match="so it is not done"):
        erase(site, "--tenant", "legal")
    (site.audit / "cli.key").unlink()
    assert readable(site, capsys) == list(range(8))


def test_a_log_without_contents_has_nobody_to_erase(site, capsys):
    site.write([*calls(2), *call(2)])
    assert erase(site, "--tenant", "legal") == 0
    assert "No such subject has a key" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--owner", "kim"], ["--key-id", "k", "--tenant", "t"]])
def test_whom_to_erase_has_to_be_said(site, words):
    site.write(calls(2))
    with pytest.raises(StartupError):
        erase(site, *words)
