"""Screens in a row: each has the generation of the one before, and their stages nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest
from serve.governance.principal import ANONYMOUS, Principal
from serve.governance.screening import Screened, Screens
from serve.observe.record import RequestRecord
from serve.pipeline.events import ChoiceEvent, Generation, TextDelta, TextPrompt
from serve.pipeline.stages import no_stages
from serve.timeline import Timeline

RECORD = RequestRecord(request_id="r", method="POST", timeline=Timeline(arrived_at=0.0))
ASKED = Generation(prompts=(TextPrompt("a"),), sampling=SamplingParams(max_tokens=1))


class Appends:
    """A stage that appends a letter to all text."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        return [
            replace(event, text=event.text + self._letter)
            for event in events
            if isinstance(event, TextDelta)
        ]


class Letter:
    """A screen that appends a letter to prompts and answers."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        (prompt,) = generation.prompts
        assert isinstance(prompt, TextPrompt)
        if prompt.text.endswith("c"):
            raise InvalidRequest("no more")
        return Screened(
            generation=replace(generation, prompts=(TextPrompt(prompt.text + self._letter),)),
            stages=lambda index: [Appends(self._letter + str(index))],
            last_stages=lambda _index: [Appends(self._letter)],
        )


def text_of(stages: Sequence[Appends]) -> str:
    events: Sequence[ChoiceEvent] = [TextDelta(index=0, text="")]
    for stage in stages:
        events = stage.feed(events)
    (event,) = events
    assert isinstance(event, TextDelta)
    return event.text


async def test_no_screen_changes_nothing() -> None:
    passed = await Screens().screen(ANONYMOUS, RECORD, ASKED)
    assert passed == Screened(generation=ASKED)
    assert (passed.stages, passed.last_stages) == (no_stages, None)


async def test_each_screen_has_what_the_one_before_made() -> None:
    passed = await Screens([Letter("b"), Letter("d")]).screen(ANONYMOUS, RECORD, ASKED)
    assert passed.generation.prompts == (TextPrompt("abd"),)
    assert text_of(passed.stages(3)) == "d3b3"  # type: ignore[arg-type]
    assert passed.last_stages is not None
    assert text_of(passed.last_stages(3)) == "db"  # type: ignore[arg-type]


async def test_the_first_that_refuses_ends_it() -> None:
    with pytest.raises(InvalidRequest, match="no more"):
        await Screens([Letter("c"), Letter("d")]).screen(ANONYMOUS, RECORD, ASKED)


async def test_rules_are_told_together_or_not_at_all() -> None:
    class Ruled(Letter):
        rules: str | None = "v1"

        async def screen(
            self, principal: Principal, record: RequestRecord, generation: Generation
        ) -> Screened:
            screened = await super().screen(principal, record, generation)
            return replace(screened, rules=self.rules)

    class Prompts(Letter):
        async def screen(
            self, principal: Principal, record: RequestRecord, generation: Generation
        ) -> Screened:
            screened = await super().screen(principal, record, generation)
            return Screened(generation=screened.generation)

    async def of(*screens: Letter) -> Screened:
        return await Screens(screens).screen(ANONYMOUS, RECORD, ASKED)

    assert (await of()).is_reproducible
    assert (await of(Prompts("a"))).is_reproducible
    assert not (await of(Letter("a"))).is_reproducible
    assert not (await of(Ruled("a"), Letter("b"))).is_reproducible
    assert not (await of(Letter("a"), Prompts("b"), Ruled("a"))).is_reproducible
    both = await of(Ruled("a"), Prompts("b"), Ruled("b"))
    assert both.is_reproducible
    assert both.rules not in {None, "v1", (await of(Ruled("a"))).rules}
