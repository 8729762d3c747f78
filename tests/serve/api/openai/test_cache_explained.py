"""What became of a prompt in the prefix cache, on the wire: whole, streamed, of both routes."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.settings import EngineSettings, FakeSettings
from serve.pipeline.admission import Admission
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from tests.serve.api.house import (
    CHATML,
    EOS,
    MODEL,
    TOKENIZER,
    House,
    chat,
    error_code_of,
    events_of,
    house,
    script_of,
)
from tests.serve.api.openai.test_token_view import SHAPES
from tests.serve.pipeline.prefix.simulated_cache import CachingEngine

LONG = "Where is the audit log? It is in the state directory. " * 4
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def caching_house() -> House:
    engine = CachingEngine(
        EngineSettings(
            max_model_len=1024,
            max_num_seqs=4,
            fake=FakeSettings(
                vocab_size=TOKENIZER.vocab_size,
                eos_token_ids=frozenset({EOS}),
                script=tuple(script_of("The log.")),
            ),
        )
    )
    return house(
        Pipeline(
            engine=engine,
            renderer=Renderer(TOKENIZER, ChatTemplate(CHATML, {})),
            admission=Admission(max_running=4, max_waiting=8),
        )
    )


async def asked(server: House, path: str, **fields: Any) -> Any:
    body = {"model": MODEL, "prompt": LONG} if path == TEXT else chat(LONG)
    async with server.client() as client:
        response = await client.post(path, json={**body, **fields})
    assert response.status_code == 200, response.text
    if fields.get("stream"):
        return events_of(response.text)[:-1]
    SHAPES[path].model_validate(response.json())
    return response.json()


def cached(answer: Any) -> int:
    details: dict[str, int] = answer["usage"]["prompt_tokens_details"]
    return details["cached_tokens"]


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_cached_tokens_are_those_of_the_engine(path: str) -> None:
    """Whole and streamed; a whole prompt is taken but for its last block."""
    server = caching_house()
    first = await asked(server, path)
    num_tokens = first["usage"]["prompt_tokens"]
    usable = (num_tokens - 1) // 16 * 16
    assert (cached(first), cached(await asked(server, path))) == (0, usable)
    *_, last = await asked(server, path, stream=True, stream_options={"include_usage": True})
    assert cached(last) == usable
    assert last["usage"]["prompt_tokens"] == num_tokens


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_choices_that_share_a_prompt_count_it_once(path: str) -> None:
    """They take what the first of them computed: that was not there before the request."""
    server = caching_house()
    first = await asked(server, path, n=4)
    assert cached(first) == 0
    again = await asked(server, path, n=4)
    assert 0 < cached(again) < again["usage"]["prompt_tokens"]


async def test_each_prompt_of_a_completion_counts() -> None:
    server = caching_house()
    await asked(server, TEXT)
    answer = await asked(server, TEXT, prompt=[LONG, "Once. " * 20, LONG], explain_cache=True)
    told = answer["prefix_cache"]
    assert [entry["prompt"] for entry in told] == [0, 1, 2]
    assert [entry["cause"] for entry in told] == ["hit", "never_seen", "hit"]
    assert sum(entry["cached_tokens"] for entry in told) == cached(answer)
    assert sum(entry["prompt_tokens"] for entry in told) == answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_nothing_is_explained_to_who_does_not_ask(path: str) -> None:
    server = caching_house()
    assert "prefix_cache" not in await asked(server, path)
    assert "prefix_cache" not in await asked(server, path, explain_cache=False)
    assert not any("prefix_cache" in chunk for chunk in await asked(server, path, stream=True))


@pytest.mark.parametrize("options", [None, {"include_usage": True}])
async def test_a_stream_explains_in_its_last_chunk(options: Any) -> None:
    server = caching_house()
    messages = [{"role": "user", "content": LONG}]
    await asked(server, CHAT, messages=messages)
    messages[0]["content"] = LONG.replace("is the", "was the", 1)
    fields = {"messages": messages, "explain_cache": True}
    *chunks, last = await asked(server, CHAT, stream=True, stream_options=options, **fields)
    assert not any("prefix_cache" in chunk for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    (told,) = last["prefix_cache"]
    assert (told["cause"], told["at"]) == ("history_edited", "messages[0].content")
    assert told["token"] == told["known_tokens"]
    assert told["near"] is None


async def test_causes_are_counted_whether_they_are_told_or_not() -> None:
    server = caching_house()
    await asked(server, CHAT)
    await asked(server, CHAT)
    assert [record.timeline.cache_causes for record in server.records.all] == [
        ["never_seen"],
        ["hit"],
    ]
    body = server.metrics.render()[0].decode()
    assert 'intramural_prefix_cache_prompts_total{cause="never_seen"} 1.0' in body
    assert 'intramural_prefix_cache_prompts_total{cause="hit"} 1.0' in body


async def test_an_engine_without_a_prefix_cache_has_nothing_to_explain() -> None:
    async with house().client() as client:
        response = await client.post(CHAT, json=chat(explain_cache=True))
    assert response.status_code == 400
    assert error_code_of(response.content) == "unsupported_parameter"
    assert response.json()["error"]["param"] == "explain_cache"
