"""Presets and rules for answers on a whole server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.engine.protocol import EngineRequest
from serve.governance.principal import ANONYMOUS
from serve.observe.record import RequestRecord
from serve.timeline import Timeline
from tests.serve.api.house import CHAT, House, chat, events_of, house, pipeline_of, script_of

FENCED = "```\nOne two. Three four five.\n```"
LETTER = '[answers.letter]\nmust_match = "[A-E]"\n'
OUR_TENANT = "[tenants.anonymous]\n"


def home_with(tmp_path: Path, text: str, answer: str = "B") -> House:
    path = tmp_path / "presets.toml"
    path.write_text(text, "utf-8")
    return house(pipeline_of(script=script_of(answer)), presets_file=path)


async def asked(home: House, body: dict[str, Any], path: str = CHAT) -> EngineRequest:
    """The request that the engine gets."""
    engine = home.pipeline.engine
    seen: list[EngineRequest] = []
    stream = engine.stream

    def watched(request: EngineRequest) -> Any:
        seen.append(request)
        return stream(request)

    engine.stream = watched
    async with home.client() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return seen[-1]


async def test_a_request_chooses_a_preset_without_a_file() -> None:
    home = house()
    sampling = (await asked(home, chat(preset="technical"))).sampling
    assert (sampling.temperature, sampling.max_tokens) == (0.3, 300)
    sampling = (await asked(home, chat(preset="technical", temperature=1))).sampling
    assert (sampling.temperature, sampling.max_tokens) == (1, 300)
    sampling = (await asked(home, chat(preset="technical", max_completion_tokens=9))).sampling
    assert (sampling.temperature, sampling.max_tokens) == (0.3, 9)


async def test_completions_have_presets_too() -> None:
    body = {"model": "demo", "prompt": "Say"}
    path = "/v1/completions"
    assert (await asked(house(), body, path)).sampling.max_tokens == 16
    sampling = (await asked(house(), {**body, "preset": "qa"}, path)).sampling
    assert (sampling.temperature, sampling.max_tokens) == (0.5, 200)


async def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    async with house().client() as client:
        refused = await client.post(CHAT, json=chat(preset="tecnical"))
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "preset")
    assert "Did you mean technical?" in error["message"]
    assert "creative, qa, technical" in error["message"]


async def test_a_tenant_has_a_preset(tmp_path: Path) -> None:
    home = home_with(tmp_path, OUR_TENANT + 'preset = "creative"\n')
    assert (await asked(home, chat())).sampling.temperature == 0.9


SHAPED = '[answers.plain]\nstrip = ["code_fence", "whitespace"]\nmax_chars = 12\n'


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_are_brought_into_shape(tmp_path: Path, stream: bool) -> None:
    text = SHAPED + OUR_TENANT + 'answers = "plain"\n'
    home = home_with(tmp_path, text, FENCED)
    async with home.client() as client:
        answer = await client.post(CHAT, json=chat(stream=stream))
    if stream:
        choices = [event["choices"][0] for event in events_of(answer.text)[:-1]]
        told = "".join(choice["delta"].get("content") or "" for choice in choices)
        reason = choices[-1]["finish_reason"]
    else:
        choice = answer.json()["choices"][0]
        told, reason = choice["message"]["content"], choice["finish_reason"]
    assert (told, reason) == ("One two.", "length")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_matches_passes_at_once(tmp_path: Path, stream: bool) -> None:
    home = home_with(tmp_path, LETTER + OUR_TENANT + 'answers = "letter"\n')
    async with home.client() as client:
        answer = await client.post(CHAT, json=chat(stream=stream))
    assert answer.status_code == 200
    assert '"B"' in answer.text
    assert home.records.last.verdicts == []
    assert home.records.last.timeline.usage.completion_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_does_not_match_twice_is_refused(tmp_path: Path, stream: bool) -> None:
    home = home_with(tmp_path, LETTER + OUR_TENANT + 'answers = "letter"\n', "No")
    async with home.client() as client:
        refused = await client.post(CHAT, json=chat(stream=stream))
        figures = (await client.get("/metrics")).text
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "answer_rejected")
    assert refused.headers["x-should-retry"] == "false"
    record = home.records.last
    assert home.records.all[0].verdicts == ["answer:letter"]
    assert home.records.all[0].error_code == "answer_rejected"
    assert record.route == "/metrics"
    for outcome in ("retried", "refused"):
        told = f'answers_rejected_total{{outcome="{outcome}",rule="letter"}} 1.0'
        assert told in figures


async def test_or_it_passes_with_a_verdict(tmp_path: Path) -> None:
    text = LETTER + 'on_mismatch = "pass"\n' + OUR_TENANT + 'answers = "letter"\n'
    home = home_with(tmp_path, text, "No")
    async with home.client() as client:
        answer = (await client.post(CHAT, json=chat())).json()
    assert answer["choices"][0]["message"]["content"] == "No"
    assert home.records.last.verdicts == ["answer:letter"]


@pytest.mark.parametrize(("outcome", "is_kept"), [("refuse", True), ("pass", False)])
async def test_answers_may_be_kept_where_their_rules_let_none_pass(
    tmp_path: Path, outcome: str, is_kept: bool
) -> None:
    text = LETTER + f'on_mismatch = "{outcome}"\n' + OUR_TENANT + 'answers = "letter"\n'
    home = home_with(tmp_path, text)
    record = RequestRecord(request_id="req-1", method="POST", timeline=Timeline(arrived_at=0))
    asked = ChatCompletions().parse(chat()).generation()
    screened = await home.service._screen.screen(ANONYMOUS, record, asked)
    assert screened.check is not None
    assert screened.is_reproducible is is_kept
