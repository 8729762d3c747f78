"""`audit prune`: age, legal holds, and a log that verifies from its first entry on."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from serve.cli.audit import prune as command
from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.tlog.key_files import read_signer
from tests.independent_tlog.notes import PublicKey
from tests.independent_tlog.tile_folder import Folder
from tests.serve.cli.audit.site import START, Site, call, calls, subject_of
from tests.serve.cli.audit.test_prove import check, prove
from tests.serve.cli.audit.test_verdicts import cosign, verify

DAYS = 183


@pytest.fixture(autouse=True)
def today(monkeypatch) -> None:
    """The day on which the calls of the first thirty days are older than the retention."""
    now = START.timestamp() + (30 + DAYS) * 86_400
    monkeypatch.setattr(command.time, "time", lambda: now)


def run_prune(site: Site, capsys, *words: str) -> dict:
    capsys.readouterr()
    place = [str(site.audit), "--log-key", str(site.public), "--log", "llm-0", "--json"]
    assert run_audit(["prune", *place, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_what_is_older_goes_and_the_rest_verifies_for_everybody(site, capsys):
    site.write(calls(1000, per_day=20))  # fifty days; the first 1,200 entries are old
    assert cosign(site) == 0
    dry = run_prune(site, capsys, "--dry-run")
    assert (dry["minimum_index"], dry["removed"]) == (1024, 1024)
    assert (site.log / "tile/entries/000").exists()
    found = run_prune(site, capsys)
    assert (found["minimum_index"], found["oldest_kept"]) == (1024, "2026-01-31T00:10:00Z")
    assert not (site.log / "tile/entries/003").exists()
    assert verify(site, "--log", "llm-0", "--witness-key", str(site.witness_public)) == 0
    assert "2,000 entries verified, entries before 1024 pruned" in capsys.readouterr().out
    key = PublicKey.parse(site.public.read_text())
    assert Folder(site.log, key).verify(minimum_index=1024).size == 2000
    assert prove(site, "req-700", "--log", "llm-0") == 0
    assert check(site, 1400) == 0
    with pytest.raises(StartupError, match="the log has 1024 to 1999"):
        prove(site, "5", "--log", "llm-0")
    site.write(calls(1, 1000))
    assert cosign(site) == 0
    assert run_prune(site, capsys)["removed"] == 0


def test_without_the_word_of_what_was_pruned_its_absence_is_damage(site, capsys):
    site.write(calls(1000, per_day=20))
    run_prune(site, capsys)
    (site.log / "minimum-index").unlink()
    assert verify(site, "--log", "llm-0") == 1
    assert "BAD  entry 0:" in capsys.readouterr().out


def test_a_hold_keeps_what_it_covers_and_all_behind_it(site, capsys):
    site.write(calls(1000, per_day=20))
    holds = site.root / "holds.toml"
    holds.write_text('[[hold]]\nname = "case-1"\ntenant = "legal"\nfrom = 2026-01-10\n')
    found = run_prune(site, capsys, "--holds", str(holds))
    # The first call of legal on the tenth day is number 182, whose begin is entry 364.
    assert (found["hold"], found["minimum_index"], found["held"]) == ("case-1", 256, 944)
    place = [str(site.audit), "--log-key", str(site.public), "--log", "llm-0"]
    assert run_audit(["prune", *place, "--holds", str(holds)]) == 0
    assert "hold 'case-1' keeps entry 364 of 2026-01-10" in capsys.readouterr().out
    holds.write_text("")
    assert run_prune(site, capsys, "--holds", str(holds))["minimum_index"] == 1024


def test_contents_go_with_the_entries_that_name_them(site, capsys):
    num = 400
    notes = site.documents([(subject_of(n), f"req-{n}", "x" * 400) for n in range(num)])
    site.write([entry for n in range(num) for entry in call(n, notes[n], day=n // 10)])
    journal = site.log / "content/journal"
    before = sorted(path.name for path in journal.iterdir())
    found = run_prune(site, capsys)
    assert found["minimum_index"] == 512
    assert 0 < found["content_files_removed"] < len(before)
    capsys.readouterr()
    words = ["--content-key-file", str(site.content_key), "--event", "begin", "--log", "llm-0"]
    run_audit(["export", str(site.audit), "--log-key", str(site.public), *words])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == num - 256
    assert all("text" in line["content"] for line in lines)


def test_a_prune_is_recorded_and_a_short_retention_remarked(site, capsys):
    site.write(calls(300))
    place = [str(site.audit), "--log-key", str(site.public)]
    assert run_audit(["prune", *place, "--retention-days", "30"]) == 0
    assert "fewer than the 183" in capsys.readouterr().err
    assert run_audit(["search", str(site.audit), "--log", "cli", "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[0])["record"]
    assert (record["act"], record["details"]["minimum_index"]) == ("audit.prune", 512)
    with pytest.raises(StartupError, match="at least 1 day"):
        run_audit(["prune", *place, "--retention-days", "0"])


def test_a_copy_without_tiles_of_hashes_is_damage(site, capsys):
    site.write(calls(300))
    shutil.rmtree(site.log / "tile/0")
    assert verify(site) == 1


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"id":"req-7"', b'"id":"req-8"', 1))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda log: changed(log / "tile/entries/000"), "entry 14 is another than was signed"),
        (lambda log: (log / "tile/entries/001").unlink(), "the bundle of entry 256 is missing"),
        (lambda log: (log / "tile/0/001").write_bytes(bytes(8192)), "hashes of entry 256"),
        (lambda log: (log / "checkpoint").unlink(), "has no checkpoint"),
        (lambda log: (log / "minimum-index").write_text("512"), "does not say what was pruned"),
    ],
)
def test_what_is_damaged_stays_and_the_other_logs_are_pruned(site, capsys, damage, why):
    site.write(calls(310, per_day=10))
    shutil.copytree(site.log, site.audit / "llm-1")
    damage(site.log)
    before = tree_of(site.log)
    place = [str(site.audit), "--log-key", str(site.public)]
    assert run_audit(["prune", *place]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("llm-0: NOT PRUNED: ")
    assert why in out[0]
    assert out[1] == "llm-1: entries 0 to 511 removed"
    assert tree_of(site.log) == before
    assert run_audit(["prune", *place, "--json"]) == 1
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each["log"] for each in lines if "error" in each] == ["llm-0"]


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_may_run_while_a_server_writes(site, capsys, monkeypatch):
    """Between its reading and its removing a log grows, and goes on growing behind it."""
    site.write(calls(310, per_day=10))
    signer = read_signer(site.key)
    plan = command.planned

    async def beside() -> None:
        log = AuditLog.open(site.log, origin=signer.name, signer=signer)

        def growing(*arguments: Any, **more: Any) -> Any:
            found = plan(*arguments, **more)
            asyncio.run_coroutine_threadsafe(log.append(calls(300, 310)), loop).result(20)
            return found

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(command, "planned", growing)
        found = await asyncio.to_thread(run_prune, site, capsys)
        assert found["removed"] == 512
        await log.append(calls(300, 610))
        await log.close()

    asyncio.run(beside())
    assert verify(site, "--log", "llm-0") == 0
    assert "1,820 entries verified, entries before 512 pruned" in capsys.readouterr().out


def test_a_hold_keeps_the_pieces_of_a_call_that_began_before_it(site, capsys):
    """Pieces name their call alone, and that began on the evening before."""
    at = '"at":"2026-01-0%s"'
    begin = call(0)[0]
    evening = begin.replace(b'"at":"2026-01-01T00:00:00.000000Z"', (at % "1T23:59:59Z").encode())
    assert evening != begin
    piece = encoded({"type": "chunks", "at": "2026-01-02T00:00:01Z", "of": [["req-0", 1, 3]]})
    site.write([evening, *[piece] * 600])
    holds = site.root / "holds.toml"
    holds.write_text('[[hold]]\nname = "case-1"\ntenant = "legal"\nfrom = 2026-01-02\n')
    assert run_prune(site, capsys, "--holds", str(holds), "--dry-run")["removed"] == 512
    holds.write_text('[[hold]]\nname = "case-1"\ntenant = "research"\nfrom = 2026-01-02\n')
    found = run_prune(site, capsys, "--holds", str(holds))
    assert (found["removed"], found["hold"]) == (0, "case-1")
