"""What the simulation needs of one replica, measured."""

from __future__ import annotations

import json

import httpx
import pytest

from benchmarks.child import StartError
from benchmarks.scaling import command, measure
from benchmarks.scaling.replica import Costs

SMALL = ["--peak", "0.01", "--mean-tokens", "50", "--static", "1", "2"]


def test_a_real_server_is_measured_and_its_figures_are_taken(tmp_path, capsys):
    arguments = ["--slots", "2", "--tokens", "8", "--rounds", "1", "--", "--engine", "fake"]
    assert measure.main(arguments) == 0
    printed = capsys.readouterr().out
    costs = Costs(**json.loads(printed))
    assert costs.slots == 2
    assert costs.start_s > 0 < costs.one_s
    file = tmp_path / "costs.json"
    file.write_text(printed)
    assert command.main([*SMALL, "--costs", str(file), "--json"]) == 0


def test_a_server_that_cannot_start_is_no_measurement():
    with (
        pytest.raises(StartError, match=r"did not start: .*no-such-model"),
        measure.server(["--model", "no-such-model", "--offline"]),
    ):
        pass


def client(*events: object, status: int = 200) -> httpx.AsyncClient:
    """Whose server streams these events; bodies are kept in ``client.asked``."""
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    asked: list[dict] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(status, text=lines)

    found = httpx.AsyncClient(base_url="http://stub", transport=httpx.MockTransport(answer))
    found.asked = asked
    return found


TEXT = {"choices": [{"text": "a"}]}


async def test_a_stream_counts_the_servers_tokens_and_not_its_chunks() -> None:
    events = [TEXT, TEXT, {"choices": [], "usage": {"completion_tokens": 5}}]
    async with client(*events) as server:
        seen = await measure.stream(server, "m", 5, "Once")
        (body,) = server.asked
    assert seen.tokens == 5
    assert 0 < seen.first_s <= seen.last_s
    assert (body["max_tokens"], body["ignore_eos"], body["prompt"]) == (5, True, "Once")


async def test_a_stream_of_one_token_has_no_pace() -> None:
    async with client(TEXT, {"choices": [], "usage": {"completion_tokens": 1}}) as server:
        with pytest.raises(ValueError, match="1 tokens: at least 2"):
            await measure.stream(server, "m", 1, "Once")


async def test_a_refusal_is_told() -> None:
    async with client(status=503) as server:
        with pytest.raises(httpx.HTTPStatusError, match="503"):
            await measure.stream(server, "m", 2, "Once")


def test_the_time_between_tokens_is_a_mean() -> None:
    assert measure.Stream(first_s=1.0, last_s=3.0, tokens=5).between_s == 0.5
