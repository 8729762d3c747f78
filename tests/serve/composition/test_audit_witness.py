"""Witnesses from the settings: the log is cosigned while the server runs, and at its end."""

from __future__ import annotations

import asyncio

import pytest

from serve.composition import audit_witness
from serve.composition.audit_witness import open_witnesses
from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.records.durable_log import open_durable, signing_key
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.observe.metrics import Metrics
from tests.serve.governance.audit.witness.serving import witness_at
from tests.serve.governance.audit.witness.trees import WITNESS_KEY, tree


def settings(folder, port: int) -> Config:
    path = folder / "witness.toml"
    path.write_text(
        f'every_s = 3600\n[[witness]]\nurl = "http://127.0.0.1:{port}"\naddress = "127.0.0.1"\n'
        f'port = {port}\nallow_http = true\nkey = "{WITNESS_KEY.verifier.text}"\n'
    )
    return Config(audit_dir=folder, audit_witness_file=path)


async def cosigned(kept: CosignedNotes) -> None:
    """Wait for the first cosignature."""
    async with asyncio.timeout(30):
        while not kept.path(WITNESS_KEY.verifier).exists():
            await asyncio.sleep(0.01)


async def test_the_log_is_cosigned_at_its_beginning_and_when_it_is_closed(tmp_path):
    folder, key_file = tmp_path / "llm-0", signing_key(tmp_path, "llm-0", None)
    verifier = read_signer(key_file).verifier
    metrics = Metrics()
    kept = CosignedNotes(folder)
    async with witness_at(tmp_path / "state", verifier) as port:
        config = settings(tmp_path, port)
        log = await open_durable(folder, key_file)
        async with open_witnesses(config, folder, key_file, metrics):
            await cosigned(kept)
            await log.append(tree(5).entries)
            await log.close()
    assert LogFolder(folder, [verifier]).size == 5
    found = kept.read(WITNESS_KEY.verifier, [verifier])
    assert found is not None
    assert found.checkpoint.size == 5
    told = metrics.render()[0].decode()
    assert "intramural_audit_cosigned_entries 5.0" in told
    assert 'intramural_audit_witness_requests_total{outcome="cosigned"} 2.0' in told
    assert 'intramural_audit_witness_requests_total{outcome="refused"} 0.0' in told


async def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_witness, "PAUSE_S", 0.01)
    folder, key_file = tmp_path / "llm-0", signing_key(tmp_path, "llm-0", None)
    verifier = read_signer(key_file).verifier
    kept = CosignedNotes(folder)
    async with (
        witness_at(tmp_path / "state", verifier) as port,
        open_witnesses(settings(tmp_path, port), folder, key_file, Metrics()),
    ):
        await asyncio.sleep(0.03)
        log = await open_durable(folder, key_file)
        await cosigned(kept)
        await log.close()


async def test_without_the_setting_nobody_is_asked(tmp_path):
    metrics = Metrics()
    async with open_witnesses(Config(), tmp_path, tmp_path / "key", metrics):
        pass
    assert "audit_cosigned_entries 0" not in metrics.render()[0].decode()


async def test_a_file_that_cannot_be_used_refuses_the_start(tmp_path):
    config = settings(tmp_path, 1).model_copy(update={"audit_witness_file": tmp_path / "none"})
    with pytest.raises(StartupError, match="--audit-witness-file"):
        async with open_witnesses(config, tmp_path, tmp_path / "key", Metrics()):
            pass


def test_the_setting_is_heeded_with_a_log_only(tmp_path):
    with pytest.raises(ValueError, match="--audit-witness-file is heeded with --audit-dir only"):
        Config(audit_witness_file=tmp_path / "witness.toml")
