"""The screen that masks: prompts before they are rendered, answers before they are recorded.

::

    prompt ── masked ── engine ── answer ── masked ── audit ── pseudonyms restored ── caller
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from serve.errors import InvalidRequest, MaskingFailed, RequestError
from serve.governance.around import around, candidates_of
from serve.governance.masking.edges import NO_EDGES, ContinuedStream, edges_of
from serve.governance.masking.lanes import Lane, Rewritten
from serve.governance.masking.prompts import MaskedPrompts, pseudonyms_in, texts_of
from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.recorded import recorded_fields, texts_beside
from serve.governance.masking.replacing import Replacing, Told, scanner_of
from serve.governance.masking.restoring import RestoredStream
from serve.governance.masking.rules import Rule, Rules, RuleSet, Side
from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation
from serve.pipeline.stages import Stage, StagesOf, no_stages

log = logging.getLogger(__name__)

INLINE_CHARS = 4_096
"""Prompts up to this length are masked at once: 2 ms, and 17 ms of the worst that was found."""
TEXT_CHARS = 32
"""Characters for which the time is that of beginning a text."""
LARGE_CHARS = 65_536
"""Prompts of more take up to 0.2 s, and wait for each other alone."""
_thread = ThreadPoolExecutor(1, "masking")
_large = ThreadPoolExecutor(1, "masking-large")
"""One for all prompts and one for the large ones. They look at slices, between which the event loop
has its turn."""

OnHit = Callable[[str, str, Side], None]
"""Called with the rule, its action and the side of each hit."""
OnFailure = Callable[[Side], None]
"""Called with the side on which masking failed."""


class MaskingScreen:
    """Masks by the rules in force (a Screen).

    Args:
        rules: asked for each request.
        on_hit: told of each hit.
        on_failure: told of each request that could not be masked.
    """

    def __init__(
        self,
        rules: Callable[[], Rules],
        on_hit: OnHit = lambda _rule, _action, _side: None,
        on_failure: OnFailure = lambda _side: None,
    ) -> None:
        self._rules = rules
        self._on_hit = on_hit
        self._on_failure = on_failure

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        """See Screen."""
        rules = self._rules()
        own = rules.of(principal.tenant)
        if not (own.apply_to("prompts") or own.apply_to("answers")):
            return Screened(generation=generation)
        request = MaskedRequest(
            own,
            lambda side: self._told(record, rules.version, side),
            digest=rules.digest,
            on_failure=self._on_failure,
        )
        try:
            texts = chain(texts_of(generation), texts_beside(generation))
            num_chars = sum(len(text) + TEXT_CHARS for text in texts)
            if num_chars <= INLINE_CHARS:
                return request.screened(generation)
            thread = _thread if num_chars <= LARGE_CHARS else _large
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(thread, request.screened, generation)
        except RequestError:
            raise
        except Exception as error:
            # Types and places are logged, and no text: it may be what was to be masked.
            log.error("masking of a prompt failed", exc_info=error)  # noqa: TRY400
            self._on_failure("prompts")
            raise MaskingFailed(
                "The prompt could not be masked, so it is not answered. Tell the operator."
            ) from None

    def _told(self, record: RequestRecord, version: str, side: Side) -> Told:
        def told(rule: Rule) -> None:
            verdict = f"masking:{rule.name}@{version}"
            if verdict not in record.verdicts:
                record.verdicts.append(verdict)
            self._on_hit(rule.name, rule.action, side)

        return told


class MaskedRequest:
    """One request under a tenant's rules.

    Args:
        rules: of the tenant.
        told: makes what is told of the hits on a side.
        digest: of the file that they are of.
        on_failure: told of a side that could not be masked.
    """

    def __init__(
        self,
        rules: RuleSet,
        told: Callable[[Side], Told],
        *,
        digest: str = "",
        on_failure: OnFailure = lambda _side: None,
    ) -> None:
        self._on_failure = on_failure
        self._rules = rules
        self._told = told
        self._digest = digest

    def screened(self, generation: Generation) -> Screened:
        """The request as it may run.

        Raises:
            RequestError: it may not.
        """
        pseudonyms = Pseudonyms()
        is_answer_masked = self._rules.apply_to("answers")
        if is_answer_masked:
            _check_answer(generation)
        if self._rules.pseudonymises:
            pseudonyms = Pseudonyms(pseudonyms_in(generation))
        is_json = generation.format is not None and generation.format.kind == "json_schema"
        recorded: Mapping[str, Any] = {}
        if self._rules.apply_to("prompts"):
            replacing = Replacing(self._rules, pseudonyms, self._told("prompts"))
            generation = MaskedPrompts(scanner_of(self._rules), replacing).of(generation)
            recorded = recorded_fields(generation, self._rules)
        choices = _Choices(pseudonyms)
        stages: StagesOf = no_stages
        if is_answer_masked:
            stages = self._masking(choices, generation, is_json=is_json)
        restores = len(pseudonyms) > 0 or (is_answer_masked and self._rules.pseudonymises)
        if restores:
            _check_restored(generation)
        last_stages = self._restoring(choices, is_json=is_json) if restores else None
        # A pseudonym that an answer brings is this request's own: nobody else can restore it.
        brings = is_answer_masked and self._rules.pseudonymises
        return Screened(
            generation=generation,
            stages=stages,
            last_stages=last_stages,
            rules=f"masking:{self._digest}" if self._digest and not brings else None,
            recorded=recorded,
        )

    def _masking(self, choices: _Choices, generation: Generation, *, is_json: bool) -> StagesOf:
        told = self._told("answers")
        scanner = scanner_of(self._rules, of_answers=True)
        per_prompt = candidates_of(generation)
        edges = [
            edges_of(around(prompt), scanner, is_json=is_json) for prompt in generation.prompts
        ]

        def stages(index: int) -> Sequence[Stage]:
            replacing = Replacing(self._rules, choices.of(index), told)

            def stream(lane: Lane) -> ContinuedStream:
                own = NO_EDGES if isinstance(lane, int) else edges[index // per_prompt]
                has_json = _is_json(lane, is_json=is_json)
                return ContinuedStream(scanner, replacing, own, is_json=has_json)

            return [Rewritten(stream, hides_tokens=True, on_failure=self._answer_failed)]

        return stages

    def _restoring(self, choices: _Choices, *, is_json: bool) -> StagesOf:
        def stages(index: int) -> Sequence[Stage]:
            def stream(lane: Lane) -> RestoredStream:
                return RestoredStream(choices.of(index), is_json=_is_json(lane, is_json=is_json))

            return [Rewritten(stream, on_failure=self._answer_failed)]

        return stages

    def _answer_failed(self) -> None:
        self._on_failure("answers")


class _Choices:
    """The pseudonyms of each choice: those of the prompts, and those that its own text adds."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._all = pseudonyms
        self._own: dict[int, Pseudonyms] = {}

    def of(self, index: int) -> Pseudonyms:
        if index not in self._own:
            self._own[index] = self._all.copy()
        return self._own[index]


def _is_json(lane: Lane, *, is_json: bool) -> bool:
    """Whether a text is JSON: arguments of calls, and content that was asked for as such."""
    return isinstance(lane, int) or (is_json and lane == "content")


def _check_answer(generation: Generation) -> None:
    """Refuse what would tell of an answer's tokens, which are those of the unmasked text.

    Raises:
        InvalidRequest: it was asked for.
    """
    asked = {
        "logprobs": generation.sampling.num_logprobs is not None,
        "prompt_logprobs": generation.sampling.num_prompt_logprobs is not None,
        "return_token_ids": generation.shows_token_ids,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(
                f"{name} cannot be had with this key: its answers are masked, and the tokens are "
                "those of the text before. Leave it out.",
                param=name,
            )


def _check_restored(generation: Generation) -> None:
    """Refuse places of tokens in a text in which pseudonyms are restored: theirs are others.

    Raises:
        InvalidRequest: they were asked for.
    """
    if generation.sampling.num_logprobs is not None:
        raise InvalidRequest(
            "logprobs cannot be had for this prompt: it has data for which pseudonyms stand, and "
            "where those are restored the tokens are not those of the text. Leave logprobs out, or "
            "take the data out of the prompt.",
            param="logprobs",
        )
