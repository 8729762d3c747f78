"""Presets as a screen: sampling that a request leaves open, and the rules of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from serve.errors import AnswerRejected, RequestError
from serve.governance.presets.preset_rules import AnswerRules, Pattern, PresetRules, filled
from serve.governance.presets.shaping_stage import ContentStage, shapes_of
from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation
from serve.pipeline.stages import Stage, no_stages


class AnswerMetrics(Protocol):
    """Figures of rejected answers (serve.observe.metrics.Metrics)."""

    def answer_rejected(self, rule: str, outcome: str) -> None: ...


class Presets:
    """Fills what requests leave open, and brings answers into shape (a Screen).

    Args:
        rules: those in force.
    """

    def __init__(self, rules: Callable[[], PresetRules], metrics: AnswerMetrics) -> None:
        self._rules = rules
        self._metrics = metrics

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        """The generation with its presets.

        Raises:
            InvalidRequest: there is no preset of the name that it, or its key, has.
        """
        rules = self._rules()
        layers = rules.layers(generation.preset, principal.preset, principal.tenant)
        answers = rules.answers_of(principal.key_id, principal.tenant, layers)
        generation = filled(generation, layers)
        if answers is None:
            return Screened(generation=generation)
        if "reasoning" in answers.strip:
            hidden = replace(generation.reasoning, is_shown=False)
            generation = replace(generation, reasoning=hidden)

        def stages(index: int) -> Sequence[Stage]:
            return [ContentStage(index, shape) for shape in shapes_of(answers)]

        check = None
        if answers.must_match is not None:
            check = MustMatch(answers, answers.must_match, record, self._metrics)
        return Screened(
            generation=generation,
            stages=stages if shapes_of(answers) else no_stages,
            check=check,
            # What passes though it was rejected is not kept: its verdict would not be told again.
            rules=None if answers.passes else f"answers {answers.digest}",
        )


class MustMatch:
    """A pattern that the whole content has to match (an AnswerCheck)."""

    def __init__(
        self, rules: AnswerRules, pattern: Pattern, record: RequestRecord, metrics: AnswerMetrics
    ) -> None:
        self._rules = rules
        self._pattern = pattern
        self._record = record
        self._metrics = metrics

    def accepts(self, content: str) -> bool:
        """Whether it matches."""
        return self._pattern.fullmatch(content) is not None

    def retried(self) -> None:
        """Count an answer that is made once more."""
        self._metrics.answer_rejected(self._rules.name, "retried")

    def rejected(self) -> RequestError | None:
        """The error in the place of an answer whose second try does not match; None passes it."""
        rules = self._rules
        self._metrics.answer_rejected(rules.name, "passed" if rules.passes else "refused")
        if rules.verdict not in self._record.verdicts:
            self._record.verdicts.append(rules.verdict)
        if rules.passes:
            return None
        return AnswerRejected(
            f"The answer is not of the form that the rule '{rules.name}' asks for, and neither "
            "was the first one. Ask in another way, or ask the operator for another rule."
        )
