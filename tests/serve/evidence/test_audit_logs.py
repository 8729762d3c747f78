"""The audit logs' part: checkpoints that the verifier checks, and faults by their entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.config import Config
from serve.evidence import folder, verify_evidence
from serve.evidence.audit_logs import audit_logs
from serve.evidence.part import Part
from serve.evidence.signing import EvidenceSigner
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.tlog.key_files import read_verifiers, write_signer
from serve.governance.audit.tlog.keys import NoteSigner

NUM_ENTRIES = 300


def silent(phase: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""


@pytest.fixture
async def config(tmp_path: Path) -> Config:
    signer = NoteSigner.generate("corp.example/audit")
    write_signer(tmp_path / "audit.key", signer)
    log = AuditLog.open(tmp_path / "audit" / "one", origin=signer.name, signer=signer)
    await log.append([b"entry %d" % n for n in range(NUM_ENTRIES)])
    await log.close()
    return Config(
        audit_dir=tmp_path / "audit", audit_key_file=tmp_path / "audit.key", state_dir=tmp_path
    )


def written(part: Part, tmp_path: Path) -> tuple[Path, str]:
    signer = EvidenceSigner(NoteSigner.generate("corp.example/evidence"))
    folder.write(tmp_path / "out", [part], signer)
    return tmp_path / "out", signer.verifier_key


async def test_a_log_that_holds_is_checked_again_by_the_verifier(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = audit_logs(config, silent)
    assert (part.state, json.loads(part.files["audit/one/check.json"])["entries"]) == ("whole", 300)
    out, key = written(part, tmp_path)
    log = str(tmp_path / "audit" / "one")
    assert verify_evidence.main([str(out), "--key", key, "--log", log, "one"]) == 0
    assert "its 300 entries come to the checkpoint's root" in capsys.readouterr().out


async def test_a_changed_entry_is_named_by_both(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = next((tmp_path / "audit/one/tile/entries").rglob("000"))
    data = bundle.read_bytes()
    bundle.write_bytes(data.replace(b"entry 77", b"entry 7X"))
    part = audit_logs(config, silent)
    assert part.state == "partly"
    assert "entry 77" in part.summary
    out, key = written(part, tmp_path)
    log = str(tmp_path / "audit" / "one")
    assert verify_evidence.main([str(out), "--key", key, "--log", log, "one"]) == 1
    assert "do not come to the checkpoint's root" in capsys.readouterr().out


async def test_a_checkpoint_of_another_key_is_found(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = dict(audit_logs(config, silent).files)
    stranger = NoteSigner.generate("corp.example/audit")
    files["audit/one/public-key"] = f"{stranger.verifier.text}\n".encode()
    part = Part(name="audit", state="whole", summary="", files=files)
    out, key = written(part, tmp_path)
    assert verify_evidence.main([str(out), "--key", key]) == 1
    assert "FAULT: audit/one: it has no signature by" in capsys.readouterr().out


async def test_a_log_that_is_asked_for_and_not_there_is_a_fault(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, key = written(audit_logs(config, silent), tmp_path)
    assert verify_evidence.main([str(out), "--key", key, "--log", str(tmp_path), "two"]) == 1
    assert "no checkpoint of a log of this name" in capsys.readouterr().out


def test_without_logs_it_is_missing(tmp_path: Path) -> None:
    assert audit_logs(Config(), silent).state == "missing"
    assert audit_logs(Config(audit_dir=tmp_path), silent).state == "missing"


async def test_a_log_that_lost_its_checkpoint_or_all_is_named(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "audit" / "one" / "checkpoint").unlink()
    write_signer(tmp_path / "audit" / "two.key", NoteSigner.generate("corp.example/two"))
    part = audit_logs(config, silent)
    assert part.state == "partly"
    assert "one: its checkpoint is not there" in part.summary
    assert "two: its checkpoint is not there" in part.summary


async def test_a_log_that_cannot_be_read_is_named_and_the_rest_is_made(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "audit" / "one" / "checkpoint").write_bytes(bytes(1 << 20))
    assert audit_logs(config, silent).state == "partly"
    (tmp_path / "audit" / "one.key.pub").write_text("no key")
    assert audit_logs(config, silent).state == "partly"


async def test_a_log_that_was_pruned_comes_to_its_root_by_the_hashes_that_are_left(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit" / "one"
    LogFolder(log, read_verifiers(tmp_path / "audit.key.pub")).prune(NUM_ENTRIES)
    out, key = written(audit_logs(config, silent), tmp_path)
    words = [str(out), "--key", key, "--log", str(log), "one"]
    assert verify_evidence.main(words) == 0
    assert "root (256 pruned ones by their hashes)" in capsys.readouterr().out
    tile = log / "tile" / "0" / "000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    assert verify_evidence.main(words) == 1
    (log / "minimum-index").unlink()
    assert verify_evidence.main(words) == 1
    assert "the log does not say that it was pruned" in capsys.readouterr().out
