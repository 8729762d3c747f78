"""The witness over HTTP: statuses, bodies and types, as the text on witnesses has them."""

from __future__ import annotations

import shutil

import pytest

from serve.governance.audit.witness import request_body
from serve.governance.audit.witness.application import SIZE_TYPE, WitnessApplication
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.mirrors import Mirrors
from serve.governance.audit.witness.state import WitnessState, origin_hash
from tests.serve.governance.audit.logs import write
from tests.serve.governance.audit.witness.trees import LOG_KEY, ORIGIN, WITNESS_KEY, tree


class Caller:
    """Calls an ASGI application in process."""

    def __init__(self, application: WitnessApplication) -> None:
        self._application = application

    async def __call__(
        self, path: str, body: bytes = b"", method: str = "POST"
    ) -> tuple[int, str, bytes]:
        pieces = [
            {"type": "http.request", "body": body[:7], "more_body": True},
            {"type": "http.request", "body": body[7:]},
        ]
        sent: list[dict] = []

        async def receive():
            return pieces.pop(0)

        async def send(message):
            sent.append(message)

        await self._application({"type": "http", "method": method, "path": path}, receive, send)
        start, answer = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert int(headers["content-length"]) == len(answer["body"])
        return start["status"], headers["content-type"], answer["body"]


@pytest.fixture
def state(tmp_path):
    with WitnessState(tmp_path / "state") as state:
        yield state


@pytest.fixture
def call(state):
    return Caller(WitnessApplication(Witness(WITNESS_KEY, [LOG_KEY.verifier], state)))


async def test_a_log_is_cosigned_and_its_monitors_see_it(call):
    log = tree(9)
    path = f"/{origin_hash(ORIGIN)}/checkpoint"
    assert (await call(path, method="GET"))[0] == 404
    status, _, line = await call("/add-checkpoint", request_body.written(0, (), log.checkpoint(4)))
    assert status == 200
    assert line.decode().startswith("\u2014 witness.example.org ")
    status, kind, size = await call(
        "/add-checkpoint", request_body.written(0, (), log.checkpoint())
    )
    assert (status, kind, size) == (409, SIZE_TYPE, b"4\n")
    body = request_body.written(4, log.proof(4), log.checkpoint())
    status, _, line = await call("/add-checkpoint", body)
    assert status == 200
    status, _, kept = await call(path, method="GET")
    assert (status, kept) == (200, log.checkpoint() + line)


async def test_another_past_is_a_422_that_says_what_is_held(call):
    await call("/add-checkpoint", request_body.written(0, (), tree(5).checkpoint()))
    forged = tree(9, changed=3)
    body = request_body.written(5, forged.proof(5), forged.checkpoint())
    status, _, answer = await call("/add-checkpoint", body)
    assert status == 422
    assert b"entries 0 to 4" in answer


@pytest.mark.parametrize("restarts", [False, True])
async def test_where_the_folder_can_be_read_the_answer_names_the_entry(tmp_path, restarts):
    folder = tmp_path / "log"

    def application(state) -> WitnessApplication:
        witness = Witness(WITNESS_KEY, [LOG_KEY.verifier], state)
        return WitnessApplication(witness, Mirrors(witness, [folder]))

    entries = tree(300).entries
    with WitnessState(tmp_path / "state") as state:
        caller = Caller(application(state))
        for start, end in [(0, 40), (40, 300)]:
            log = await write(folder, entries[start:end])
            body = request_body.written(start, log.consistency(start), log.note)
            assert (await caller("/add-checkpoint", body))[0] == 200
            if restarts:
                caller = Caller(application(state))
        shutil.rmtree(folder)
        log = await write(folder, tree(300, changed=41).entries)
        body = request_body.written(300, (), log.note)
        status, _, answer = await caller("/add-checkpoint", body)
    assert status == 422
    assert b"entry 41 is not the entry that was cosigned" in answer


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("/add-checkpoint", "GET", b"", 405),
        ("/add-checkpoint", "POST", b"hello", 400),
        ("/add-checkpoint", "POST", b"old 0\n\nhello", 400),
        ("/add-checkpoint", "POST", b"x" * (request_body.MAX_BODY_BYTES + 1), 413),
        ("/add-checkpoint", "POST", b"old 9\n\n" + tree(3).checkpoint(), 400),
        ("/", "GET", b"", 404),
        ("/" + "0" * 64 + "/checkpoint", "GET", b"", 404),
        ("/", "PUT", b"", 405),
        ("/healthz", "GET", b"", 200),
    ],
)
async def test_whatever_else_is_asked_has_its_status(call, path, method, body, status):
    assert (await call(path, body, method))[0] == status


async def test_a_damaged_state_is_a_500_without_a_word_of_it(call, state):
    await call("/add-checkpoint", request_body.written(0, (), tree(5).checkpoint()))
    (state.folder_of(ORIGIN) / "checkpoint").write_bytes(b"damaged")
    log = tree(6)
    body = request_body.written(5, log.proof(5), log.checkpoint())
    status, _, answer = await call("/add-checkpoint", body)
    assert (status, answer) == (500, b"the witness needs its operator\n")
