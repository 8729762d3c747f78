"""A server's own log from its settings: start, model, stop, contents, and what refuses a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.assembly import Brought
from serve.composition.audit import open_audit
from serve.composition.audit_log import (
    log_name,
    open_server_log,
)
from serve.config import Config
from serve.errors import StartupError
from serve.governance.audit.content import sealing
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.content.subject_keys import SubjectKeys
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.journal import Journal
from serve.governance.audit.records.canonical import decoded, encoded
from serve.governance.audit.records.durable_log import open_durable, signing_key
from serve.governance.audit.tlog.key_files import read_verifiers, write_signer
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.observe.metrics import Metrics
from tests.serve.governance.audit.content.secrets_of import key_file
from tests.serve.service.callers import in_process, service_of


def config_of(folder: Path, **settings: Any) -> Config:
    return Config(audit_dir=folder / "audit", audit_name="a", port=0, **settings)


async def records_of(folder: Path) -> list[dict[str, Any]]:
    log = await open_durable(folder / "audit" / "a", folder / "audit" / "a.key")
    found = [decoded(entry) for entry in log.read(0, log.size)]
    await log.close()
    return found


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_life_of_a_server_is_in_its_log(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text("[]")
    config = config_of(tmp_path, api_key_file=keys, arm="b")
    metrics = Metrics()
    async with open_audit(config, metrics) as parts:
        service, _ = service_of(audit=parts.audit)
        parts.follow(service.directory)
        await parts.model_loaded(
            Brought(
                names=("demo",), digest="sha256:1", scheme="none", engine="fake", dtype="none",
                adapters={"bank": str(tmp_path)},
            )
        )  # fmt: skip
        await in_process(service, {"model": "demo", "messages": [{"role": "user", "content": "x"}]})
        text = metrics.render()[0].decode()
        assert "intramural_audit_log_available 1.0" in text
        assert "intramural_audit_log_entries 4.0" in text
    records = await records_of(tmp_path)
    assert [each["type"] for each in records] == ["start", "model", "begin", "end", "stop"]
    start, model = records[:2]
    assert start["settings"]["arm"] == "b"
    assert start["files"].keys() == {"api_key_file"}
    assert start["config"].startswith("sha256:")
    assert (model["digest"], model["engine"]) == ("sha256:1", "fake")
    assert model["adapters"]["bank"]["digest"].startswith("sha256:")
    assert model["adapters"]["bank"]["digest"].startswith("sha256:")
    assert len({each["run"] for each in records}) == 1


async def test_contents_are_kept_beside_the_log_and_open_under_their_keys(tmp_path: Path) -> None:
    config = config_of(tmp_path, audit_level="full", audit_content_key_file=key_file(tmp_path, "a"))
    async with open_audit(config, Metrics()) as parts:
        service, _ = service_of(audit=parts.audit)
        message = {"role": "user", "content": "canary-1"}
        text = await in_process(service, {"model": "demo", "messages": [message]})
    _, begin, end, _ = await records_of(tmp_path)
    own = tmp_path / "audit" / "a" / "content"
    keys = SubjectKeys(own / "keys", read_content_keys(key_file(tmp_path, "a")))
    key = keys.find("key:anonymous")
    assert begin["content"]["subject_key"] == key.key_id
    journal = Journal.open(own / "journal")
    frames = dict(journal.entries())
    await journal.close()
    for record, canary in ((begin, "canary-1"), (end, text[:10])):
        frame = frames[record["content"]["at"]]
        assert sealing.digest(frame) == record["content"]["sha256"]
        assert canary.encode() in sealing.opened(key, frame)
    written = b"".join(path.read_bytes() for path in files_of(tmp_path))
    assert b"canary-1" not in written


async def test_hashes_need_no_journal(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, audit_level="hashed", audit_content_key_file=key_file(tmp_path, "a")
    )
    async with open_audit(config, Metrics()) as parts:
        service, _ = service_of(audit=parts.audit)
        await in_process(service, {"model": "demo", "messages": [{"role": "user", "content": "x"}]})
    _, begin, end, _ = await records_of(tmp_path)
    assert len(begin["content"]["hmac"]) == len(end["content"]["hmac"]) == 64
    assert not (tmp_path / "audit" / "a" / "content" / "journal").exists()


async def test_a_log_that_cannot_be_written_refuses_a_start_or_passes(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "a").write_text("in the way")
    with pytest.raises(StartupError, match="audit log cannot be written"):
        async with open_audit(config_of(tmp_path), Metrics()):
            pass
    passing = config_of(tmp_path, audit_when_unavailable="pass")
    async with open_server_log(passing, tmp_path / "audit", Metrics()) as log:
        assert not log.keeper.is_available
        (tmp_path / "audit" / "a").unlink()
        await log.upkeep.once()
        assert log.keeper.is_available


async def test_a_log_without_room_is_told_as_one_that_is_away(tmp_path: Path) -> None:
    metrics = Metrics()
    config = config_of(tmp_path, audit_min_free_bytes=1 << 62)
    async with open_server_log(config, tmp_path / "audit", metrics) as log:
        await log.upkeep.once()
        assert log.keeper.is_available
        assert "intramural_audit_log_available 0.0" in metrics.render()[0].decode()


async def test_files_that_cannot_be_meant_refuse_a_start(tmp_path: Path) -> None:
    """Also those that commands alone read, and a key under which no log would verify."""
    witness, holds = tmp_path / "witness.key", tmp_path / "holds.toml"
    write_signer(witness, NoteSigner.generate("witness.example.org", COSIGNATURE))
    for settings, told in (
        ({"audit_key_file": witness}, "witness.example.org is a witness's key, not a log's"),
        ({"audit_holds_file": holds}, "file of legal holds .*holds.toml is not there"),
        ({"audit_dir": witness}, "cannot be made in .*witness.key: that is a file"),
    ):
        config = config_of(tmp_path).model_copy(update=settings)
        with pytest.raises(StartupError, match=told):
            async with open_audit(config, Metrics()):
                pass


async def test_two_servers_never_write_one_log(tmp_path: Path) -> None:
    async with open_audit(config_of(tmp_path), Metrics()):
        with pytest.raises(StartupError, match="another process"):
            async with open_audit(config_of(tmp_path), Metrics()):
                pass


def test_a_name_is_one_of_a_folder() -> None:
    assert log_name(Config(audit_dir=Path("x"), audit_name="b")) == "b"
    name = log_name(Config(audit_dir=Path("x")))
    assert name
    assert name == name.lower()
    assert "/" not in name


async def test_contents_have_one_writer_also_where_calls_pass(tmp_path: Path) -> None:
    """The second server has no log then, and would cut off what the first one writes."""
    config = config_of(
        tmp_path,
        audit_level="full",
        audit_content_key_file=key_file(tmp_path),
        audit_when_unavailable="pass",
    )
    folder = tmp_path / "audit"
    async with open_server_log(config, folder, Metrics()):
        with pytest.raises(StartupError, match="content is written by another process"):
            async with open_server_log(config, folder, Metrics()):
                pass
    async with open_server_log(config, folder, Metrics()):
        pass


async def test_any_number_of_names_and_adapters_fits(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    async with open_server_log(config_of(tmp_path), tmp_path / "audit", Metrics()) as server:
        await server.model_loaded(
            Brought(
                names=tuple(f"{n}-{'x' * 250}" for n in range(300)),
                digest="sha256:1", scheme="none", engine="fake", dtype="none",
                adapters={f"{n}-{'y' * 250}": str(tmp_path / "adapter") for n in range(150)},
            )
        )  # fmt: skip
    told = [record for record in await records_of(tmp_path) if record["type"] == "model"]
    assert [len(record["adapters"]) for record in told] == [64, 64, 22]
    assert told[0]["names"][-1] == "and 237 more"


@pytest.mark.parametrize("num_entries", [300, 512, 700])
async def test_a_log_that_was_pruned_is_opened(tmp_path: Path, num_entries: int) -> None:
    """The entries that are left may be fewer than are looked through for open calls."""
    config, folder = config_of(tmp_path), tmp_path / "audit"
    log = await open_durable(folder / "a", signing_key(folder, "a", None))
    await log.append([encoded({"type": "x"})] * num_entries)
    await log.close()
    assert LogFolder(folder / "a", read_verifiers(folder / "a.key.pub")).prune(num_entries)
    async with open_server_log(config, folder, Metrics()) as server:
        assert server.keeper.size == num_entries + 1
