"""Feedback over HTTP: on one's own answers, in the same words for all others, and reported."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serve.api.app import create_app
from serve.api.operations.feedback_shapes import (
    COUNTS_EXAMPLE,
    PAGE_EXAMPLE,
    FeedbackCountList,
    FeedbackDeleted,
    FeedbackPage,
    FeedbackReply,
)
from serve.governance.feedback.book import FeedbackBook
from serve.governance.sealing import SealingKey
from serve.service.requests import Service
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.feedback_rows import page
from serve.storage.feedback_values import FeedbackFilter
from serve.storage.places import SqliteFile
from tests.serve.api.house import House, Records, house
from tests.serve.api.operations.test_usage import Names
from tests.serve.storage.ledgers import entry, filling

KEY = SealingKey(b"k" * 32)
ANNS, BOBS = "a" * 32, "b" * 32
OF_ANN, OF_BOB = f"chatcmpl-{ANNS}", f"chatcmpl-{BOBS}"


class Away:
    """A database that does not answer."""

    async def write(self, _work: Any) -> Any:
        raise StoreUnavailable("it is away")

    report = write


class Both(Names):
    """Everyone may infer; ``root`` administers, too."""

    def authenticate(self, credentials: Any) -> Any:
        found = super().authenticate(credentials)
        return replace(found, scopes=found.scopes | {"infer"})


@functools.cache
def house_with_a_book(*, is_kept: bool = True) -> House:
    """The server of all tests: an application takes long to build, and holds no state."""
    book = FeedbackBook(Away(), KEY) if is_kept else None  # type: ignore[arg-type]
    plain = house().state
    service = Service(plain.service.directory, (Both(),), listeners=())
    state = replace(plain, service=service, feedback=book)
    return House(state, Records(), create_app(state))


def house_with(database: Any, key: SealingKey | None = KEY, on_feedback: Any = None) -> House:
    home = house_with_a_book()
    book = home.state.feedback
    assert book is not None
    book._database, book._key, book._on_feedback = database, key, on_feedback
    return home


@pytest.fixture
async def database(database_file):
    database = Database(SqliteFile(path=database_file))
    await database.write(
        filling(
            entry(request_id=f"req-{ANNS}", owner="ann", key_id="key-ann", arm="blue"),
            entry(request_id=f"req-{BOBS}", owner="bob", key_id="key-bob", model="=cmd"),
        )
    )
    yield database
    await database.close()


@pytest.fixture
def counted() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def home(database, counted) -> House:
    return house_with(database, KEY, lambda *told: counted.append(told))


async def send(
    home: House, method: str, path: str, owner: str = "ann", body: Any = None
) -> httpx.Response:
    async with home.client() as client:
        return await client.request(method, path, json=body, headers={"authorization": owner})


async def give(home: House, owner: str = "ann", **body: Any) -> httpx.Response:
    return await send(home, "POST", "/v1/feedback", owner, body)


async def test_feedback_is_kept_replaced_listed_counted_and_taken_back(
    home, counted, database
) -> None:
    given = await give(home, id=OF_ANN, score=-1, labels=["wrong", "错误"], text="It was wrong.")
    assert given.status_code == 200
    reply = FeedbackReply.model_validate(given.json())
    assert (reply.score, reply.labels, reply.has_text) == (-1.0, ["wrong", "错误"], True)
    for _ in range(2):  # the same again is the same
        assert (await give(home, id=f"cmpl-{ANNS}", score=0.25)).json()["score"] == 0.25
    await give(home, id=f"req-{ANNS}", score=0.5, text="=1+1")
    assert counted == [("demo", "blue", -1000)]

    listed = (await send(home, "GET", "/admin/feedback", "root")).json()
    FeedbackPage.model_validate(listed)
    (row,) = listed["data"]
    assert (row["score"], row["text"], row["arm"], row["owner"]) == (0.5, "=1+1", "blue", "ann")
    rows, _ = await database.read(lambda c: page(c, FeedbackFilter(), limit=9))
    assert "1+1" not in repr(rows)

    csv = await send(home, "GET", "/admin/feedback?format=csv&model=demo", "root")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.split("\r\n")[1].endswith("0.5,,True,'=1+1")
    counts = (await send(home, "GET", "/admin/feedback/counts", "root")).json()
    FeedbackCountList.model_validate(counts)
    assert (
        counts["data"][0] | {"mean_score": 0.5, "positive": 1, "arm": "blue"} == counts["data"][0]
    )
    told = await send(home, "GET", "/admin/feedback/counts?format=csv", "root")
    assert told.text.split("\r\n")[1] == "demo,blue,1,1,0,0,1,0.5"

    for _ in range(2):
        taken = await send(home, "DELETE", f"/v1/feedback/{OF_ANN}")
        FeedbackDeleted.model_validate(taken.json())
    assert (await send(home, "GET", "/admin/feedback", "root")).json()["data"] == []


async def test_others_and_unknown_answers_are_not_found_in_the_same_words(home) -> None:
    own = await give(home, id="req-" + "d" * 32, score=1)
    for answer_id in (OF_BOB, f"chatcmpl-{'c' * 32}", "chatcmpl-x", "x\ny", "é"):
        refused = await give(home, id=answer_id, score=1)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "answer_not_found")
        words = [one.json()["error"]["message"].partition("of yours")[2] for one in (own, refused)]
        assert words[0] == words[1]
    taken = await send(home, "DELETE", f"/v1/feedback/{OF_BOB}")
    assert taken.json()["error"]["code"] == "answer_not_found"
    assert (await give(home, "bob", id=OF_BOB, score=1)).status_code == 200


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"id": OF_ANN}, "score", "score"),
    ({"score": 1}, "id", "id"),
    ({"id": OF_ANN, "score": 1.01}, "score", "1.01"),
    ({"id": OF_ANN, "score": "1"}, "score", "score"),
    ({"id": OF_ANN, "score": True}, "score", "score"),
    ({"id": OF_ANN, "score": 0.0001}, "score", "three decimals"),
    ({"id": OF_ANN, "score": 1, "labels": ["a"] * 17}, "labels", "16"),
    ({"id": OF_ANN, "score": 1, "labels": ["a", "a"]}, "labels[1]", "twice"),
    ({"id": OF_ANN, "score": 1, "labels": ["a\n"]}, "labels[0]", "cannot be printed"),
    ({"id": OF_ANN, "score": 1, "labels": ["a" * 65]}, "labels[0]", "64"),
    ({"id": OF_ANN, "score": 1, "text": "x" * 4001}, "text", "4000"),
    ({"id": OF_ANN, "score": 1, "lables": ["a"]}, "lables", "labels"),
]


async def test_what_is_wrong_is_named() -> None:
    home = house_with(Away())
    for body, param, words in WRONG:
        answer = await give(home, **body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param), body
        assert words in error["message"]
    for query in ("limit=0", "from=today", "format=xml", "after=x", "wo=1", "arm=a&arm=b"):
        answer = await send(home, "GET", f"/admin/feedback?{query}", "root")
        name = query.partition("=")[0]
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


async def test_pages_follow_each_other(home) -> None:
    await give(home, id=OF_ANN, score=1)
    await give(home, "bob", id=OF_BOB, score=-1)
    first = (await send(home, "GET", "/admin/feedback?limit=1", "root")).json()
    rest = (await send(home, "GET", f"/admin/feedback?after={first['next']}", "root")).json()
    assert [row["owner"] for row in (*first["data"], *rest["data"])] == ["ann", "bob"]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    csv = await send(home, "GET", "/admin/feedback?limit=1&format=csv", "root")
    assert f"after={first['next']}" in csv.headers["link"]
    refused = await send(home, "GET", "/admin/feedback", "ann")
    assert refused.json()["error"]["code"] == "forbidden"


async def test_a_text_needs_a_key(database) -> None:
    home = house_with(database, None)
    refused = await give(home, id=OF_ANN, score=1, text="x")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert (await give(home, id=OF_ANN, score=1)).status_code == 200
    await give(house_with(database, KEY), id=OF_ANN, score=1, text="x")
    house_with(database, None)
    (row,) = (await send(home, "GET", "/admin/feedback", "root")).json()["data"]
    assert (row["has_text"], row["text"]) == (True, None)


async def test_without_a_ledger_and_with_one_that_is_away() -> None:
    none = await give(house_with_a_book(is_kept=False), id=OF_ANN, score=1)
    assert (none.status_code, none.json()["error"]["code"]) == (404, "no_ledger")
    away = house_with(Away())
    for answer in (
        await give(away, id=OF_ANN, score=1),
        await send(away, "DELETE", f"/v1/feedback/{OF_ANN}"),
        await send(away, "GET", "/admin/feedback", "root"),
        await send(away, "GET", "/admin/feedback/counts", "root"),
    ):
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "feedback_unavailable"
        assert int(answer.headers["retry-after"]) > 0


def test_examples_are_of_their_shapes() -> None:
    FeedbackPage.model_validate(PAGE_EXAMPLE)
    FeedbackCountList.model_validate(COUNTS_EXAMPLE)


async def test_a_call_that_failed_has_no_answer(home, counted, database) -> None:
    failed = entry(request_id=f"req-{'c' * 32}", owner="ann", outcome="answer_rejected")
    await database.write(filling(failed))
    refused = await give(home, id=f"chatcmpl-{'c' * 32}", score=1)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (404, "answer_not_found", "id")
    assert "answer_rejected" in error["message"]
    others = (await give(home, "bob", id=f"chatcmpl-{'c' * 32}", score=1)).json()["error"]
    assert "answer_rejected" not in others["message"]
    assert counted == []
