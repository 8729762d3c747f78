"""Answers are kept, given again byte for byte, and to nobody but the tenant that they are of."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from typing import Any

import httpx
import pytest

from serve.api.openai.chat import ChatCompletions
from serve.pipeline.events import TextDelta
from serve.service.response_cache.answers import MAX_WRITES
from serve.service.response_cache.kept_answer import KeptAnswer
from serve.storage.counting.counters import StoreUnavailable
from serve.timeline import Usage
from tests.serve.api.house import CHAT, House, chat
from tests.serve.service.callers import Ledger, Trail
from tests.serve.service.response_cache.cached_house import (
    CountingPipeline,
    cache_of,
    cached_house,
    memory_store,
    publish,
)

GREEDY = {"temperature": 0}
_OWN = re.compile(rb'"id":"chatcmpl-[0-9a-f]{32}"|"created":[0-9]+')


def without_id_and_time(raw: bytes) -> bytes:
    return _OWN.sub(b"", raw)


async def ask(
    home: House, body: dict[str, Any], tenant: str = "ward", path: str = CHAT, **headers: str
) -> httpx.Response:
    async with home.client() as client:
        sent = {"authorization": tenant, **{k.replace("_", "-"): v for k, v in headers.items()}}
        answer = await client.post(path, json=body, headers=sent)
    if home.service._answers is not None:
        await home.service._answers.written()
    return answer


def state_of(answer: httpx.Response) -> str | None:
    return answer.headers.get("x-response-cache")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 2},
        {"stream": True},
        {"stream": True, "n": 2, "stream_options": {"include_usage": True}},
        {"seed": 7, "temperature": 1.0},
    ],
)
async def test_a_hit_is_byte_equal_but_for_id_and_time(more: dict[str, Any]) -> None:
    home = cached_house(cache_of())
    first = await ask(home, chat(**GREEDY | more))
    second = await ask(home, chat(**GREEDY | more))
    assert (state_of(first), state_of(second)) == ("miss", "hit")
    assert "age" not in first.headers
    assert second.headers["age"] == "0"
    assert first.content != second.content
    assert without_id_and_time(first.content) == without_id_and_time(second.content)
    assert home.pipeline.num_run == 1
    assert home.records.last.verdicts == ["cache:hit"]
    assert home.records.last.timeline.usage == home.records.all[0].timeline.usage
    assert home.records.last.timeline.submitted_at is None


async def test_a_stream_and_a_whole_answer_are_kept_as_one() -> None:
    home = cached_house(cache_of())
    whole = (await ask(home, chat(**GREEDY))).json()["choices"][0]["message"]["content"]
    streamed = await ask(home, chat(stream=True, **GREEDY))
    assert state_of(streamed) == "hit"
    assert "".join(re.findall(r'"content":"([^"]*)"', streamed.text)) == whole


@pytest.mark.parametrize(
    ("change", "states"),
    [
        ({"tenant": "lab"}, ["miss", "miss"]),
        ({"body": {"model": "wise"}}, ["miss", "miss"]),
        ({"body": {"model": "alias"}}, ["miss", "hit"]),  # another name of the same model
        ({"body": {"max_tokens": 5}}, ["miss", "miss"]),
        ({"body": {"temperature": 1}}, ["miss", "off"]),
        ({"body": {"explain_cache": True}}, ["miss", "off"]),
        ({"cache_control": "no-cache"}, ["miss", "miss"]),
        ({"cache_control": "no-store, max-age=9"}, ["miss", "off"]),
        ({"cache_control": "max-age=0"}, ["miss", "miss"]),
        ({"cache_control": "max-age=60, public"}, ["miss", "hit"]),
    ],
)
async def test_what_is_another_request_is_computed(change: dict[str, Any], states: Any) -> None:
    home = cached_house(cache_of())
    change = dict(change)
    body = chat(**GREEDY | change.pop("body", {}))
    told = [state_of(await ask(home, chat(**GREEDY))), state_of(await ask(home, body, **change))]
    assert told == states
    assert home.pipeline.num_run == 2 - states.count("hit")


async def test_no_cache_renews_and_no_store_leaves_no_trace() -> None:
    home = cached_house(cache_of())
    texts = [
        (await ask(home, chat(**GREEDY), cache_control=said)).json()["choices"][0]["message"]
        for said in ("no-store", "max-age=9", "no-cache", "max-age=9")
    ]
    assert [text["content"][-1] for text in texts] == ["0", "1", "2", "2"]


async def test_another_digest_of_the_weights_is_another_model() -> None:
    home, states = cached_house(cache_of()), []
    for digest in "aba":
        publish(home, CountingPipeline(), digest)
        states.append(state_of(await ask(home, chat(**GREEDY))))
    assert states == ["miss", "miss", "hit"]


async def test_an_answer_has_an_age_a_day_and_an_end() -> None:
    now, day = 1000.0, date(2026, 11, 29)
    cache = cache_of(clock=lambda: now, today=lambda: day)
    home = cached_house(cache)
    await ask(home, chat(**GREEDY))
    now += 90.7
    found = await ask(home, chat(**GREEDY))
    assert (state_of(found), found.headers["age"]) == ("hit", "90")
    assert state_of(await ask(home, chat(**GREEDY), cache_control="max-age=90")) == "hit"
    assert state_of(await ask(home, chat(**GREEDY), cache_control="max-age=89")) == "miss"
    day = date(2026, 11, 30)
    assert state_of(await ask(home, chat(**GREEDY))) == "miss"
    now += 3601
    assert state_of(await ask(home, chat(**GREEDY))) == "miss"


async def test_answers_that_did_not_end_by_themselves_are_not_kept() -> None:
    home = cached_house(cache_of())
    home.pipeline.fails = True
    states = [state_of(await ask(home, chat(**GREEDY))) for _ in range(2)]
    assert states == ["miss", "miss"]
    large = cached_house(cache_of(max_entry_bytes=60))
    assert [state_of(await ask(large, chat(**GREEDY))) for _ in range(2)] == ["miss", "miss"]
    assert large.pipeline.num_run == 2


async def test_a_long_prompt_is_named_as_a_short_one_is() -> None:
    home = cached_house(cache_of())
    body = chat("word " * 40_000, **GREEDY)
    assert [state_of(await ask(home, body)) for _ in range(2)] == ["miss", "hit"]


async def test_an_answer_that_nobody_read_to_its_end_is_not_kept() -> None:
    cache = cache_of()
    home = cached_house(cache)
    with home.service.call(method="POST") as call:
        home.service.authenticate(call, _Shown())  # type: ignore[arg-type]
        generation = ChatCompletions().parse(chat(**GREEDY)).generation()
        served = home.service.served(call, None)
        async with home.service.generate(call, served, generation) as events:
            assert isinstance(await anext(events), TextDelta)
    assert cache.figures()["response_cache_entries"] == 0


class _Shown:
    authorization = ("ward",)


async def test_a_hit_is_limited_audited_and_takes_no_place_and_no_tokens() -> None:
    ledger, trail = Ledger(), Trail(wants_events=True)
    home = cached_house(cache_of(), reservations=ledger, audit=trail)
    first, second = [await ask(home, chat(**GREEDY)) for _ in range(2)]
    assert second.headers["x-ratelimit-remaining-tokens"] == "7"
    assert [line for line in ledger.lines if isinstance(line, tuple)] == [
        ("ward", "demo", 9),
        ("ward", "demo", 0),
    ]
    told = [line.split(" req-")[0] for line in trail.lines]
    assert told[: len(told) // 2] == told[len(told) // 2 :]
    assert [line.split()[0] for line in trail.lines] == [
        *["begin", "text", "text", "text"],
        "end",
    ] * 2
    assert first.json()["usage"] == second.json()["usage"]
    ledger.refuses = True
    assert (await ask(home, chat(**GREEDY))).status_code == 503


class Away:
    """A store that does not answer."""

    async def find(self, name: bytes) -> bytes | None:
        raise StoreUnavailable("it is away")

    async def keep(self, name: bytes, value: bytes) -> None:
        raise StoreUnavailable("it is away")

    def figures(self) -> dict[str, float]:
        return {}

    async def close(self) -> None:
        pass


async def test_a_store_that_is_away_is_a_miss() -> None:
    cache = cache_of(Away())
    home = cached_house(cache)
    answers = [await ask(home, chat(**GREEDY)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [state_of(answer) for answer in answers] == ["miss", "miss"]
    assert cache.figures()["response_cache_failures_total"] == 4
    await cache.close()


async def test_a_damaged_answer_is_a_miss() -> None:
    store = memory_store()
    home = cached_house(cache_of(store))
    await ask(home, chat(**GREEDY))
    for name, (_, ends_at) in list(store._entries.items()):
        store._entries[name] = (b"{}", ends_at)
    assert state_of(await ask(home, chat(**GREEDY))) == "miss"
    assert state_of(await ask(home, chat(**GREEDY))) == "hit"


async def test_writes_on_their_way_are_bounded() -> None:
    release = asyncio.Event()

    class Slow(Away):
        num_kept = 0

        async def find(self, name: bytes) -> bytes | None:
            return None

        async def keep(self, name: bytes, value: bytes) -> None:
            await release.wait()
            self.num_kept += 1

    store = Slow()
    cache = cache_of(store)
    answer = KeptAnswer(made_at=0.0, usage=Usage(), finish_reason="stop", events=())
    for number in range(MAX_WRITES + 5):
        cache.keep(b"%d" % number, answer)
    release.set()
    await cache.close()
    assert store.num_kept == MAX_WRITES


async def test_a_server_without_a_cache_says_nothing_of_one() -> None:
    home = cached_house(None)
    answer = await ask(home, chat(**GREEDY), cache_control="max-age=9")
    assert answer.status_code == 200
    assert not {"age", "x-response-cache"} & set(answer.headers)
    refused = await ask(home, chat(**GREEDY), cache_control="max-age=soon")
    assert refused.json()["error"]["message"].startswith("cache-control has max-age='soon'")
