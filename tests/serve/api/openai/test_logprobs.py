"""Log-probabilities on the wire: no two under one name, exact bytes, offsets, and no null."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from serve.api.openai.logprobs import LOWEST_LOGPROB, chat_logprobs, text_logprobs
from serve.engine.fake import FakeEngine
from serve.engine.settings import EngineSettings, FakeSettings
from serve.pipeline.admission import Admission
from serve.pipeline.events import TokenText
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.api.house import CHATML, House, chat, events_of, house
from tests.serve.pipeline.conftest import byte_level_tokenizer, sentencepiece_tokenizer

BYTE_LEVEL = byte_level_tokenizer()
SENTENCEPIECE = sentencepiece_tokenizer()


def token(raw: bytes, token_id: int | None = None, *top: TokenText, logprob: float = -1.0) -> Any:
    text = raw.decode("utf-8", "replace")
    return TokenText(text=text, raw=raw, logprob=logprob, token_id=token_id, top=top)


@pytest.mark.parametrize("has_ids", [True, False])
def test_parts_of_characters_have_names_of_their_own(has_ids: bool) -> None:
    parts = [token(bytes([byte]), byte if has_ids else None) for byte in (0xE4, 0xE5, 0xE6)]
    own = TokenText(text="\ufffd", raw=b"\xe4", logprob=-1.0, top=tuple(parts), token_id=0xE4)
    answer = text_logprobs([own])
    assert answer["tokens"] == [r"bytes:\xe4"]
    assert list(answer["top_logprobs"][0]) == [r"bytes:\xe4", r"bytes:\xe5", r"bytes:\xe6"]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b" \xf0\x9f", r"bytes: \xf0\x9f"),
        (b"a\\\xf0", r"bytes:a\\xf0"),
        (b"\n\x80", r"bytes:\x0a\x80"),
        (" é🦙".encode(), " é🦙"),
        (b"\xed\xa0\x80", r"bytes:\xed\xa0\x80"),
    ],
)
def test_names(raw: bytes, name: str) -> None:
    assert text_logprobs([token(raw, 1)])["tokens"] == [name]


def test_no_candidate_replaces_another() -> None:
    """Whatever they read: the same bytes twice, no text at all, the name of another."""
    same = [token(b"A", 1), token(b"A", 2), token(b"A", 3), token(b"", 4), token(b"", 5)]
    special = TokenText(text="<s>", raw=b"", logprob=-3.0, token_id=6)
    spelt = [token(b"bytes:A", 7), token(b"token_id:4", 8), special, token(b"<s>", 9)]
    top = [*same, *spelt, token(b"A", 10)]
    for own in (token(b"A", 2, *top), token(b"A", 99, *top), token(b"", 4, *top)):
        (names,) = text_logprobs([own])["top_logprobs"]
        assert len(names) == len(top) + (own.token_id == 99)
        assert text_logprobs([own])["tokens"][0] in names
        assert names[""] == -1.0 if own.token_id == 4 else "A" in names


def test_the_most_likely_come_first_and_the_chosen_one_once() -> None:
    top = (token(b"b", 2, logprob=-0.1), token(b"a", 1, logprob=-0.2))
    assert list(text_logprobs([token(b"a", 1, *top)])["top_logprobs"][0].items()) == [
        ("b", -0.1),
        ("a", -1.0),
    ]
    assert list(text_logprobs([token(b"c", 3, *top)])["top_logprobs"][0]) == ["b", "a", "c"]
    assert text_logprobs([token(b"c", 3)])["top_logprobs"] == [{"c": -1.0}]


@pytest.mark.parametrize("odd", [-math.inf, math.inf, math.nan, -1e30])
def test_what_json_cannot_say_is_the_lowest(odd: float) -> None:
    one = token(b"a", 1, token(b"b", 2, logprob=odd), logprob=odd)
    for answer in (text_logprobs([one]), chat_logprobs([one])):
        assert b"null" not in orjson.dumps(answer).replace(b'"refusal":null', b"")
    assert text_logprobs([one])["token_logprobs"] == [LOWEST_LOGPROB]
    assert chat_logprobs([one])["content"][0]["top_logprobs"][0]["logprob"] == LOWEST_LOGPROB


def test_a_chat_has_a_readable_text_and_exact_bytes() -> None:
    (told,) = chat_logprobs([token(b"\xf0\x9f", 1)])["content"]
    assert (told["token"], told["bytes"]) == ("\ufffd", [0xF0, 0x9F])


# The whole way, with a script as the model.


def served(tokenizer: ModelTokenizer, script: list[int], eos: int, **fake: Any) -> House:
    settings = FakeSettings(
        vocab_size=tokenizer.vocab_size,
        eos_token_ids=frozenset({eos}),
        script=[*script, eos],
        **fake,
    )
    engine = FakeEngine(EngineSettings(max_model_len=512, max_num_seqs=4, fake=settings))
    return house(
        Pipeline(
            engine=engine,
            renderer=Renderer(tokenizer, ChatTemplate(CHATML, {})),
            admission=Admission(max_running=4, max_waiting=8),
        )
    )


async def completion(home: House, **fields: Any) -> Any:
    async with home.client() as client:
        body = {"model": "demo", "max_tokens": 100, **fields}
        response = await client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0] if not fields.get("stream") else events_of(response.text)


def ids_of(tokenizer: ModelTokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


async def test_the_first_space_of_a_completion_stays() -> None:
    prompt, rest = "phases", " the log"
    script = ids_of(SENTENCEPIECE, "the log")
    assert SENTENCEPIECE.decode([*ids_of(SENTENCEPIECE, prompt), *script]) == prompt + rest
    home = served(SENTENCEPIECE, script, SENTENCEPIECE.special_ids["</s>"])
    for given in (prompt, ids_of(SENTENCEPIECE, prompt)):
        choice = await completion(home, prompt=given, logprobs=3)
        assert choice["text"] == rest == "".join(choice["logprobs"]["tokens"])
    streamed = await completion(home, prompt=prompt, stream=True)
    assert "".join(event["choices"][0]["text"] for event in streamed[:-1]) == rest
    async with home.client() as client:
        response = await client.post("/v1/chat/completions", json=chat(logprobs=True))
    (answer,) = response.json()["choices"]
    assert answer["message"]["content"] == SENTENCEPIECE.decode(script) == rest[1:]
    raw = b"".join(bytes(told["bytes"]) for told in answer["logprobs"]["content"])
    assert raw == rest[1:].encode()


@pytest.mark.parametrize("chunk_sizes", [(1,), (3, 1), (50,)])
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte", "fallback"])
async def test_offsets_are_of_the_text_streamed_or_whole(
    tokenizer: ModelTokenizer, chunk_sizes: tuple[int, ...]
) -> None:
    specials = list(tokenizer.special_ids.values())
    script = ids_of(tokenizer, "the log 🦙🙂 is")
    script.insert(1, specials[0])
    home = served(tokenizer, script, specials[-1], chunk_sizes=chunk_sizes)
    prompt = ids_of(tokenizer, "Where")
    choice = await completion(home, prompt=prompt, logprobs=2)
    told, text = choice["logprobs"], choice["text"]
    raws = [tokenizer.token_bytes(token_id) for token_id in script]
    starts = [len(b"".join(raws[:at]).decode("utf-8", "ignore")) for at in range(len(script))]
    assert told["text_offset"] == starts
    assert b"".join(raws).decode() == text
    assert all(len(top) >= 2 for top in told["top_logprobs"])
    events = await completion(home, prompt=prompt, logprobs=2, stream=True)
    sent = ""
    offsets: list[int] = []
    for event in events[:-1]:
        (part,) = event["choices"]
        sent += part["text"]
        new = (part["logprobs"] or {}).get("text_offset", [])
        assert all(offset <= len(sent) for offset in new)
        offsets += new
    assert (sent, offsets) == (text, starts)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("ignore_eos", [True, False])
@pytest.mark.parametrize("stop", [["<|im_end|>"], ["log<|im_end|>"], ["nothing", "g<|im_end|>"]])
async def test_a_stop_string_that_spells_a_special_token(
    stop: list[str], ignore_eos: bool, n: int
) -> None:
    specials = BYTE_LEVEL.special_ids
    script = [*ids_of(BYTE_LEVEL, "the log"), specials["<|im_end|>"]]
    home = served(BYTE_LEVEL, script, specials["<|im_end|>"])
    fields: Any = {"prompt": "x", "stop": stop, "ignore_eos": ignore_eos, "n": n, "logprobs": 0}
    wanted = "the log".removesuffix(stop[-1].removesuffix("<|im_end|>"))
    choice = await completion(home, **fields)
    assert (choice["text"], choice["finish_reason"]) == (wanted, "stop")
    assert "".join(choice["logprobs"]["tokens"]).startswith(wanted)
    assert "<|im_end|>" not in choice["logprobs"]["tokens"]
    events = await completion(home, **fields, stream=True)
    for index in range(n):
        mine = [e["choices"][0] for e in events[:-1] if e["choices"][0]["index"] == index]
        assert "".join(part["text"] for part in mine) == wanted
        assert mine[-1]["finish_reason"] == "stop"
