"""Large answers beside a neighbour: what is encoded between two turns of the loop is bounded.

The engine makes chunks of a thousand tokens, as a stream has whose client lags.
"""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.chat_encoder import ChatEncoder
from serve.api.openai.text_encoder import TextEncoder
from serve.pipeline.token_texts import TokenTexts
from tests.serve.api.house import CHAT, EOS, House, chat, events_of, house, pipeline_of
from tests.serve.api.ticker import Ticker

NUM_TOKENS, NUM_TOP, NUM_CHOICES = 1000, 4, 8
PER_TOKEN = 1 + NUM_TOP
MOST_IN_TURN = 3000
"""Log-probabilities made text, and made JSON, in a turn: a slice of each, and half of one over."""

COMPLETIONS = "/v1/completions"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: chat(n=NUM_CHOICES, logprobs=True, top_logprobs=NUM_TOP),
    COMPLETIONS: {"model": "demo", "prompt": ["a", "b"], "n": 4, "logprobs": NUM_TOP},
}


@pytest.fixture
def home() -> House:
    return house(pipeline_of(max_waiting=200, max_model_len=4096, chunk_sizes=(1000,)))


@pytest.fixture
def ticker(monkeypatch: pytest.MonkeyPatch) -> Ticker:
    """Counts each log-probability that is made text, and each that is made JSON."""
    ticker = Ticker()
    describe = TokenTexts.of
    monkeypatch.setattr(
        TokenTexts,
        "of",
        lambda texts, logprob: (ticker.count(PER_TOKEN), describe(texts, logprob))[1],
    )
    for encoder in (ChatEncoder, TextEncoder):
        logprobs = encoder._logprobs

        def counted(self: Any, tokens: Any, real: Any = logprobs) -> Any:
            ticker.count(len(tokens) * PER_TOKEN)
            return real(self, tokens)

        monkeypatch.setattr(encoder, "_logprobs", counted)
    return ticker


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_neighbour_has_its_turns(
    home: House, ticker: Ticker, path: str, *, is_stream: bool
) -> None:
    body = BODIES[path] | {"max_tokens": NUM_TOKENS, "ignore_eos": True, "stream": is_stream}
    async with home.client(timeout=60) as client, ticker:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200
    assert ticker.total == 2 * NUM_CHOICES * NUM_TOKENS * PER_TOKEN, "each was done once"
    assert ticker.most <= MOST_IN_TURN
    if not is_stream:
        choices = answer.json()["choices"]
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert [choice["index"] for choice in choices] == list(range(NUM_CHOICES))
        for choice in choices:
            logprobs = choice["logprobs"]
            tokens = logprobs["content"] if path == CHAT else logprobs["tokens"]
            assert len(tokens) == NUM_TOKENS


@pytest.mark.parametrize("path", BODIES)
async def test_a_whole_answer_is_what_its_stream_adds_up_to(home: House, path: str) -> None:
    body = BODIES[path] | {"max_tokens": 300, "ignore_eos": True}
    async with home.client(timeout=60) as client:
        whole = (await client.post(path, json=body)).json()
        stream = events_of((await client.post(path, json=body | {"stream": True})).text)
    for choice in whole["choices"]:
        own = [e["choices"][0] for e in stream[:-1] if e["choices"][0]["index"] == choice["index"]]
        if path == CHAT:
            text = "".join(piece["delta"].get("content", "") for piece in own)
            assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
        else:
            assert choice["text"] == "".join(piece["text"] for piece in own)
        added: dict[str, list[Any]] = {}
        for piece in own:
            for name, items in (piece["logprobs"] or {}).items():
                added.setdefault(name, []).extend(items or [])
        for name, items in choice["logprobs"].items():
            assert (items or []) == added[name], name
        assert choice["finish_reason"] == own[-1]["finish_reason"] == "length"


async def test_an_answer_without_a_token_has_its_lists_empty() -> None:
    home = house(pipeline_of(script=[EOS]))
    async with home.client() as client:
        talk = (await client.post(CHAT, json=chat(logprobs=True))).json()
        body = {"model": "demo", "prompt": "x", "logprobs": 2}
        text = (await client.post(COMPLETIONS, json=body)).json()
    assert talk["choices"][0]["logprobs"] == {"content": [], "refusal": None}
    assert set(text["choices"][0]["logprobs"]) >= {"tokens", "top_logprobs", "text_offset"}
    assert not any(text["choices"][0]["logprobs"].values())


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_neighbour_has_its_turns_between_parts_of_long_prompts(
    home: House, ticker: Ticker, *, is_stream: bool
) -> None:
    """An echo by each choice, and what is told of the prompt by the first of them."""
    body = BODIES[COMPLETIONS] | {"prompt": [5] * NUM_TOKENS, "echo": True, "max_tokens": 1}
    more = {"prompt_logprobs": NUM_TOP, "stream": is_stream, "ignore_eos": True}
    async with home.client(timeout=60) as client, ticker:
        answer = await client.post(COMPLETIONS, json=body | more)
    assert answer.status_code == 200
    made_text, made_json = 5 * (NUM_TOKENS - 1) + 4, 4 * (NUM_TOKENS + 1)
    assert ticker.total == (made_text + made_json) * PER_TOKEN
    assert ticker.most <= MOST_IN_TURN
