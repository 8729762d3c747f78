"""An answer that a check rejects is made once more, within the same request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import AnswerRejected, QueueFull, RequestError
from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import RequestRecord
from serve.pipeline.events import (
    Event,
    Finished,
    GenerateRequest,
    Generation,
    PromptTokens,
    Started,
    TextDelta,
    TextPrompt,
    ToolCallDelta,
)
from serve.service.second_try import checked, second_request
from serve.timeline import Timeline
from tests.serve.api.house import chat, is_free, pipeline_of, script_of
from tests.serve.service.callers import Ledger, Trail, in_process, service_of


class Check:
    """Accepts one content, and refuses or passes all others."""

    def __init__(self, wanted: str = "yes", *, passes: bool = False) -> None:
        self._wanted = wanted
        self._passes = passes
        self.notes: list[str] = []

    def accepts(self, content: str) -> bool:
        return content == self._wanted

    def retried(self) -> None:
        self.notes.append("retried")

    def rejected(self) -> RequestError | None:
        self.notes.append("rejected")
        return None if self._passes else AnswerRejected("No.")


def said(text: str, index: int = 0, reason: Any = "stop") -> list[Event]:
    return [
        *(TextDelta(index=index, text=letter) for letter in text),
        Finished(index=index, reason=reason),
    ]


class Runs:
    """Runs of a request: each a list of events."""

    def __init__(self, *runs: list[Event]) -> None:
        self._runs = list(runs)
        self.num_closed = 0

    async def next(self) -> AsyncGenerator[Event, None]:
        try:
            for event in self._runs.pop(0):
                yield event
        finally:
            self.num_closed += 1


async def told(check: Check, *runs: list[Event]) -> tuple[list[Event], Timeline]:
    timeline = Timeline(arrived_at=0)
    timeline.usage.prompt_tokens = 5
    ways = Runs(*runs)
    events = checked(ways.next(), check, ways.next, timeline)
    return [event async for event in events], timeline


def started() -> Started:
    return Started(prompt_tokens=5)


async def test_what_is_accepted_is_told_as_it_is() -> None:
    prompt = PromptTokens(prompt=0, token_ids=(1,))
    check = Check()
    assert (await told(check, [prompt, *said("yes")]))[0] == [prompt, *said("yes")]
    assert check.notes == []


async def test_what_is_rejected_is_made_once_more_and_nothing_of_it_is_told() -> None:
    check = Check()
    events, _timeline = await told(
        check, said("no"), [started(), PromptTokens(prompt=0, token_ids=(1,)), *said("yes")]
    )
    assert (events, check.notes) == (said("yes"), ["retried"])


async def test_a_second_rejection_is_an_error() -> None:
    check = Check()
    events, timeline = await told(check, said("no"), [started(), *said("nor")])
    (end,) = events
    assert isinstance(end, Finished)
    assert (end.reason, type(end.error)) == ("error", AnswerRejected)
    assert (timeline.finish_reason, timeline.error_code) == ("error", "answer_rejected")
    assert check.notes == ["retried", "rejected"]


async def test_or_it_passes() -> None:
    check = Check(passes=True)
    assert (await told(check, said("no"), [started(), *said("nor")]))[0] == said("nor")


async def test_only_the_choices_that_were_rejected_are_made_again() -> None:
    first = [*said("yes", 0), *said("no", 1)]
    second = [started(), *said("never", 0), *said("yes", 1)]
    assert (await told(Check(), first, second))[0] == [*said("yes", 0), *said("yes", 1)]


@pytest.mark.parametrize("reason", ["tool_calls", "content_filter", "error"])
async def test_what_says_nothing_of_its_own_passes(reason: Any) -> None:
    call = ToolCallDelta(index=0, call=0, name="say")
    events = [call, Finished(index=0, reason=reason)]
    assert (await told(Check(), events))[0] == events


async def test_leaving_in_the_middle_closes_the_second_run() -> None:
    ways = Runs(said("no"), [started(), *said("yes"), *said("yes", 1)])
    events = checked(ways.next(), Check(), ways.next, Timeline(arrived_at=0))
    async with aclosing(events):
        await anext(events)
    assert ways.num_closed == 2


def test_a_second_request_has_the_next_seed_and_a_name_of_its_own() -> None:
    first = GenerateRequest(
        prompts=(TextPrompt("a"),),
        sampling=SamplingParams(max_tokens=1, seed=7),
        request_id="req-1",
        tenant="t",
        timeline=Timeline(arrived_at=0),
    )
    second = second_request(first)
    assert (second.request_id, second.sampling.seed) == ("req-1-2", 8)
    last = replace(first, sampling=replace(first.sampling, seed=2**63 - 1))
    assert second_request(last).sampling.seed == 2**63 - 2
    without = replace(first, sampling=replace(first.sampling, seed=None))
    assert second_request(without).sampling.seed is None


class CheckingScreen:
    """A screen with a check and nothing else."""

    def __init__(self, check: Check) -> None:
        self._check = check

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        return Screened(generation=generation, check=self._check)


async def test_both_runs_are_reserved_for_and_counted_and_the_trail_has_the_last() -> None:
    ledger, trail = Ledger(), Trail(wants_events=True)
    screen = CheckingScreen(Check("yes"))
    service, records = service_of(reservations=ledger, audit=trail, screen=screen)
    pipeline: Any = service.directory.default.resident()
    engines = [pipeline_of(script=script_of(text)).engine for text in ("nono", "yes")]
    pipeline.engine.stream = lambda request: engines.pop(0).stream(request)
    assert await in_process(service, chat(max_tokens=40)) == "yes"
    usage = records.last.timeline.usage
    once = len(script_of("nono")) + len(script_of("yes"))
    assert usage.completion_tokens == once
    assert ledger.lines[0] == ("anonymous", "demo", 80)
    assert ledger.lines[1] == usage
    assert usage.prompt_tokens % 2 == 0
    assert "".join(line.removeprefix("text ") for line in trail.lines[1:-1]) == "yes"
    assert is_free(pipeline)


async def test_a_second_run_that_finds_no_place_is_refused() -> None:
    async def full() -> AsyncGenerator[Event, None]:
        raise QueueFull("Full.")
        yield

    ways = Runs(said("no"))
    events = checked(ways.next(), Check(), full, Timeline(arrived_at=0))
    with pytest.raises(QueueFull):
        await anext(events)
