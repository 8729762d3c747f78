"""Two agents of 50 turns each on a real model: what was computed once is not computed again.

For `make prove` alone: minutes, on a model of 1 GB. `python -m benchmarks agent` plays the same
conversations on several servers, and has their times.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.agent import scripts
from benchmarks.agent.playing import Player, Rules
from benchmarks.agent.reuse import Played, figures, pairs, reusable
from serve.pipeline.render import Renderer
from tests.e2e.server import serving
from tests.real.fetch import FetchError, folder_of
from tests.real.models import MODELS

NUM_TURNS = 50
BLOCK = 32
"""Tokens that are cached together: less than that of a prompt's reusable part may be lost."""
MAX_GROWTH = 3.0
"""Of the time to first token, from turn 2 to 50, while other tests run beside it."""


@pytest.fixture(scope="module")
def turns(is_proving: bool, tmp_path_factory: pytest.TempPathFactory) -> list[Played]:
    """All turns, with the server's own token ids."""
    if not is_proving:
        pytest.skip("a real model, for minutes: `make prove` alone")
    (model,) = (model for model in MODELS if model.name == "qwen2.5-coder")
    try:
        folder = folder_of(model)
    except FetchError as error:
        pytest.skip(f"{model} could not be fetched: {error}")
    return play(folder, tmp_path_factory.mktemp("server"))


def play(folder: Path, logs: Path) -> list[Played]:
    renderer = Renderer.load(folder)
    written = [
        scripts.write(
            name,
            seed=0,
            count=lambda text: len(renderer.tokenizer.encode(text, add_special_tokens=False)),
            num_turns=NUM_TURNS,
        )
        for name in ("Ada", "Boole")
    ]
    arguments = ["--model", str(folder), "--max-model-len", "16384", "--max-num-seqs", "4"]
    arguments += ["--kv-cache-tokens", "40960", "--offline", "--quant", "none"]
    with (
        serving(logs, arguments) as server,
        closing(Player(server.url, renderer, Rules(has_token_ids=True))) as player,
    ):
        player.warm_up()
        played = list(player.play(written))
        assert server.terminate() == 0
    return played


def test_the_conversations_are_long(turns: list[Played]) -> None:
    assert len(turns) == 2 * NUM_TURNS
    for turn in turns[:2]:
        assert 5_500 < turn.prompt_tokens < 6_500
    for turn in turns[-2:]:
        assert 9_000 < turn.prompt_tokens < 14_000
    assert all(turn.prompt_tokens == len(turn.prompt_ids) for turn in turns)
    assert all(turn.completion_tokens == len(turn.output_ids or ()) for turn in turns)


def test_at_least_99_percent_of_what_could_be_reused_is(turns: list[Played]) -> None:
    found = figures(turns)
    share = found["share_reused"]
    print(found)
    assert share is not None
    assert share >= 0.99
    for before, now in pairs(turns):
        could = reusable(before, now)
        assert now.cached_tokens is not None
        assert could - BLOCK <= now.cached_tokens < now.prompt_tokens, (
            now.conversation,
            now.number,
        )
        # No prompt of an agent is begun anew: all of the one before is in it.
        assert could >= before.prompt_tokens, (now.conversation, now.number)


def test_two_agents_have_nothing_of_each_other(turns: list[Played]) -> None:
    for turn in turns[:2]:
        assert turn.cached_tokens == 0


def test_the_last_turns_are_about_as_quick_as_the_first(turns: list[Played]) -> None:
    growth = figures(turns)["ttft_growth"]
    assert growth is not None
    assert growth < MAX_GROWTH
