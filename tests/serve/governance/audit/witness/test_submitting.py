"""The server's side of witnesses, against a witness over sockets."""

from __future__ import annotations

import pytest

from serve.governance.audit.witness import request_body
from serve.governance.audit.witness.client import (
    WitnessAwayError,
    WitnessHasError,
    WitnessRefusedError,
)
from serve.governance.audit.witness.cosigned_notes import CosignedNotes, together
from serve.governance.audit.witness.submitting import Submitter
from tests.independent_tlog.notes import PublicKey, opened
from tests.serve.governance.alerts.receivers import receiving
from tests.serve.governance.audit.logs import write
from tests.serve.governance.audit.witness.serving import client_of, witness_at
from tests.serve.governance.audit.witness.trees import LOG_KEY, WITNESS_KEY, tree


class Listener:
    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.sizes: list[int] = []

    def audit_witness_asked(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def audit_cosigned(self, size: int) -> None:
        self.sizes.append(size)


async def test_each_checkpoint_is_cosigned_and_kept(tmp_path):
    entries = tree(300).entries
    log = await write(tmp_path / "log", entries[:5])
    kept, listener = CosignedNotes(log.path), Listener()
    async with witness_at(tmp_path / "state") as port:
        client = client_of(port)
        submitter = Submitter(log, kept, [client], every_s=1, listener=listener)
        await submitter.submit_all()
        await submitter.submit_all()  # nothing new: the witness is not asked
        await write(tmp_path / "log", entries[5:])
        await submitter.submit_all()
        restarted = Submitter(log, kept, [client], every_s=1, listener=listener)
        await restarted.submit_all()  # it does not know what the witness has, and is told
    assert listener.outcomes == ["cosigned"] * 3
    assert listener.sizes == [5, 5, 300, 300]
    found = kept.read(client.verifier, [LOG_KEY.verifier])
    assert found is not None
    assert found.checkpoint.size == 300
    content = kept.path(client.verifier).read_bytes()
    _, note = opened(content, PublicKey.parse(LOG_KEY.verifier.text))
    assert note.trusted(PublicKey.parse(WITNESS_KEY.verifier.text)) == [found.at_s]
    assert together([found], above=299) is not None
    assert together([found], above=300) is None


@pytest.mark.parametrize(("size", "changed"), [(400, 17), (5, None)])
async def test_a_rewritten_or_cut_log_is_refused(tmp_path, caplog, size, changed):
    log = await write(tmp_path / "log", tree(300).entries)
    forged = await write(tmp_path / "forged", tree(size, changed=changed).entries)
    async with witness_at(tmp_path / "state") as port:
        client = client_of(port)
        await Submitter(log, CosignedNotes(log.path), [client], every_s=1).submit_all()
        listener = Listener()
        kept = CosignedNotes(forged.path)
        await Submitter(forged, kept, [client], every_s=1, listener=listener).submit_all()
    assert listener.outcomes == ["refused"]
    assert kept.read(client.verifier, [LOG_KEY.verifier]) is None
    assert [record.levelname for record in caplog.records][-1] == "CRITICAL"


async def test_a_witness_that_has_forgotten_is_told_of(tmp_path, caplog):
    log = await write(tmp_path / "log", tree(300).entries[:5])
    listener = Listener()
    async with witness_at(tmp_path / "state") as port:
        client = client_of(port)
        submitter = Submitter(log, CosignedNotes(log.path), [client], every_s=1, listener=listener)
        await submitter.submit_all()
    await write(tmp_path / "log", tree(300).entries[5:])
    async with witness_at(tmp_path / "empty") as port:
        submitter._clients = [client_of(port)]
        await submitter.submit_all()
    assert listener.outcomes == ["cosigned"] * 2
    assert "a witness has forgotten what it signed" in caplog.text


async def test_a_witness_that_is_away_is_asked_again(tmp_path):
    log = await write(tmp_path / "log", tree(3).entries)
    listener = Listener()
    submitter = Submitter(
        log, CosignedNotes(log.path), [client_of(1)], every_s=1, listener=listener
    )
    await submitter.submit_all()
    await submitter.submit_all()
    assert listener.outcomes == ["away", "away"]
    assert listener.sizes == [0, 0]


def answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("reply", "error", "match"),
    [
        (answer(409, b"17\n"), WitnessHasError, "17"),
        (answer(409, b"many\n"), WitnessAwayError, "409"),
        (answer(422, b"no\x1b[31m\n"), WitnessRefusedError, r"^no \[31m$"),
        (answer(403, b""), WitnessRefusedError, "^$"),
        (answer(500, b""), WitnessAwayError, "500"),
        (answer(302, b""), WitnessAwayError, "302"),
        (answer(200, b""), WitnessAwayError, "no cosignature"),
        (answer(200, b"\xff\n"), WitnessAwayError, "no cosignature"),
        (answer(200, b"\n\xe2\x80\x94 x AAAAAAAA\n"), WitnessAwayError, "no cosignature"),
    ],
)
async def test_what_a_witness_may_answer(reply, error, match):
    async with receiving(reply) as receiver:
        with pytest.raises(error, match=match):
            await client_of(receiver.port).cosigned(0, (), tree(3).checkpoint())
    assert receiver.posted[0].body == request_body.written(0, (), tree(3).checkpoint())
