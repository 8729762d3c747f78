"""Screening: what a request's prompts and answers pass, by its tenant's and its key's rules.

::

    generation ── screen ── screen ── engine ── stages ── audit ── last stages ── caller

A screen rewrites a generation or refuses it before anything is rendered, and gives the stages that
each choice's events pass afterwards (serve/pipeline/stages.py). What the trail records lies between
its stages and its last stages: these may put back what only the caller is to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from serve.errors import RequestError
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation
from serve.pipeline.stages import Stage, StagesOf, no_stages


class AnswerCheck(Protocol):
    """A check of whole answers: one that it rejects is made once more."""

    def accepts(self, content: str) -> bool:
        """Whether a choice may have this content."""
        ...

    def retried(self) -> None:
        """Note that a choice is made once more."""
        ...

    def rejected(self) -> RequestError | None:
        """The error in the place of a choice that is rejected again; None lets it pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A generation that may run.

    Attributes:
        generation: as the engine is to have it.
        stages: the stages of one choice, in the order in which its events pass them.
        last_stages: those behind the audit trail; None where there are none for any choice.
        rules: names the rules of ``stages``, version and all: while it is the same, so is what
            they make of an answer. None where that is not known, and such answers are not kept
            for later requests (serve/service/response_cache/).
        check: of whole answers, behind the stages and before the trail; None is none.
        recorded: fields of the generation that the audit trail has otherwise than the engine.
    """

    generation: Generation
    stages: StagesOf = no_stages
    last_stages: StagesOf | None = None
    rules: str | None = None
    check: AnswerCheck | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_reproducible(self) -> bool:
        """Whether the same answer of the engine comes to the same text again."""
        is_plain = self.stages is no_stages and self.check is None
        return is_plain or self.rules is not None


class Screen(Protocol):
    """One set of rules that prompts and answers pass. Stateless; its stages have the state."""

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        """The generation that may run in the place of this one.

        Raises:
            RequestError: it may not run, or the rules cannot be applied.
        """
        ...


class Screens:
    """Several screens as one, in order (a Screen).

    Prompts pass the screens in order, answers in the opposite one: what the first has put into a
    prompt is taken out of the answer last, and what cuts an answer has it as others let it pass.
    """

    def __init__(self, screens: Sequence[Screen] = ()) -> None:
        self._screens = tuple(screens)

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        """The generation that passed all of them. Raises RequestError of the first that refuses."""
        passed = Screened(generation=generation)
        for screen in self._screens:
            own = await screen.screen(principal, record, passed.generation)
            passed = replace(
                own,
                stages=_joined(own.stages, passed.stages),
                last_stages=_joined_last(own.last_stages, passed.last_stages),
                rules=_joined_rules(passed, own),
                check=own.check or passed.check,
                recorded={**passed.recorded, **own.recorded},
            )
        return passed


def _joined(first: StagesOf, second: StagesOf) -> StagesOf:
    if first is no_stages:
        return second
    if second is no_stages:
        return first

    def stages(index: int) -> Sequence[Stage]:
        return [*first(index), *second(index)]

    return stages


def _joined_last(first: StagesOf | None, second: StagesOf | None) -> StagesOf | None:
    if first is None or second is None:
        return first or second
    return _joined(first, second)


def _joined_rules(first: Screened, second: Screened) -> str | None:
    """The rules of both; None where those of one that has stages are not known."""
    if not (first.is_reproducible and second.is_reproducible):
        return None
    told = [screened.rules for screened in (first, second) if screened.rules is not None]
    # Lengths, so that no two lists of rules read alike.
    return "".join(f"{len(rules)}:{rules}" for rules in told) or None
