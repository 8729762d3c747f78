"""A panic in the tokenizer's library ends one request, not the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from serve.errors import InternalError, StartupError
from serve.pipeline.panics import NO_PANIC
from serve.pipeline.render import Renderer
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.api.house import CHAT, chat, house, pipeline_of
from tests.serve.pipeline.conftest import byte_level_tokenizer


def panicking() -> ModelTokenizer:
    """A tokenizer whose library panics for texts of more than four tokens."""
    raw = json.loads(byte_level_tokenizer()._tokenizer.to_str())
    raw["truncation"] = {
        "direction": "Right",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 9,
    }
    tokenizer = ModelTokenizer(Tokenizer.from_str(json.dumps(raw)), {}, 500)
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(raw))
    return tokenizer


def test_a_panic_is_an_error_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = panicking()
    with pytest.raises(InternalError, match="tokenizer failed"):
        tokenizer.encode("one two three four five six", add_special_tokens=False)
    assert tokenizer.encode("a", add_special_tokens=False)
    assert "stride" in capfd.readouterr().err


@pytest.mark.parametrize("length", [1, 1_000])
async def test_the_server_answers_and_lives(length: int, capfd: object) -> None:
    pipeline = pipeline_of()
    renderer = pipeline.renderer
    pipeline.renderer = Renderer(panicking(), renderer.template)
    async with house(pipeline).client() as client:
        for _ in range(2):
            answer = await client.post(CHAT, json=chat("one two three four five six " * length))
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "internal_error"
        pipeline.renderer = renderer
        assert (await client.post(CHAT, json=chat("hi"))).status_code == 200


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_nothing_else_is_changed(error: BaseException) -> None:
    with pytest.raises(type(error)), NO_PANIC:
        raise error


def test_a_panic_at_the_start_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {})

    class Panicking:
        @staticmethod
        def from_file(_path: str) -> None:
            raise panic("index out of bounds")

    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("serve.pipeline.tokenizer.Tokenizer", Panicking)
    with pytest.raises(StartupError, match="cannot be read"):
        ModelTokenizer.load(tmp_path)
