"""Ways to say how an answer reasons: OpenAI's ``reasoning_effort``, and those of other servers.

::

    reasoning_effort          OpenAI, vLLM           none, minimal, ... max
    reasoning                 OpenRouter             {"effort", "max_tokens", "enabled", "exclude"}
    thinking                  Anthropic, Z.ai        a truth, or {"type", "budget_tokens"}
    think                     Ollama                 a truth, or an effort
    enable_thinking           Qwen's templates       a truth
    thinking_token_budget     vLLM                   tokens
    include_reasoning         vLLM, OpenRouter       whether the client is sent it

Whether to reason, and how much, are variables of the model's chat template. One that reads none of
them renders the same prompt whatever they say, as with every server that has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import Field, WithJsonSchema

from serve.api.openai.bodies import INT64_MAX, WHOLE, Body
from serve.api.openai.constraints import check_names, object_of
from serve.api.openai.refusals import shown
from serve.errors import InvalidRequest
from serve.pipeline.events import ReasoningUse

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: Final = get_args(Effort)
SWITCHES: Final = ("enable_thinking", "thinking")
"""The variables by which templates are told whether to reason."""
EFFORT: Final = "reasoning_effort"
HINTS: Final = frozenset({*SWITCHES, EFFORT})
_KINDS: Final = {"enabled": True, "disabled": False, "adaptive": None, "auto": None}
"""Types of ``thinking``; None leaves it to the model."""

_TRUTH: Final = {"type": "boolean"}
_TOKENS: Final = {"type": "integer", "minimum": 0}
Thinking = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                _TRUTH,
                {
                    "type": "object",
                    "properties": {"type": {"enum": list(_KINDS)}, "budget_tokens": _TOKENS},
                    "required": ["type"],
                },
                {"type": "null"},
            ]
        }
    ),
]
Think = Annotated[
    Any, WithJsonSchema({"anyOf": [_TRUTH, {"enum": list(EFFORTS)}, {"type": "null"}]})
]
Reasoning = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                _TRUTH,
                {
                    "type": "object",
                    "properties": {
                        "effort": {"enum": list(EFFORTS)},
                        "max_tokens": _TOKENS,
                        "enabled": _TRUTH,
                        "exclude": _TRUTH,
                    },
                    "additionalProperties": False,
                },
                {"type": "null"},
            ]
        }
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One field's part in how an answer reasons; None where it says nothing of it."""

    param: str
    is_on: bool | None = None
    effort: str | None = None
    budget: int | None = None
    is_shown: bool | None = None


class ReasoningFields(Body):
    """The fields that say how to reason. Where two of them say the same thing, they agree."""

    flags: ClassVar = frozenset[str]()

    reasoning_effort: Effort | None = None
    reasoning: Reasoning = None
    enable_thinking: bool | None = None
    thinking: Thinking = None
    think: Think = None
    include_reasoning: bool | None = None
    thinking_token_budget: (
        Annotated[int, Field(ge=-1, le=INT64_MAX), WHOLE] | None  # -1 is vLLM's word for no bound
    ) = None

    def reasoning_use(self) -> ReasoningUse:
        """The bounds of the reasoning. Raises InvalidRequest where two fields differ."""
        budget = self._agreed("budget")
        is_shown = self._agreed("is_shown")
        return ReasoningUse(
            is_shown=is_shown is not False, max_tokens=None if budget == -1 else budget
        )

    def reasoning_options(self) -> dict[str, Any]:
        """The variables for the model's template. Raises InvalidRequest where two fields differ."""
        is_on = self._agreed("is_on")
        effort = self._agreed("effort")
        options: dict[str, Any] = {} if is_on is None else dict.fromkeys(SWITCHES, is_on)
        return options if effort is None else {**options, EFFORT: effort}

    def _agreed(self, attribute: str) -> Any:
        """The one value that the fields have for something; None where none has any."""
        given = [
            (wish.param, value)
            for wish in self._wishes()
            if (value := getattr(wish, attribute)) is not None
        ]
        for param, value in given[1:]:
            if value != given[0][1]:
                raise InvalidRequest(
                    f"{given[0][0]} and {param} say different things of how to reason: send one "
                    "of them.",
                    param=param,
                )
        return given[0][1] if given else None

    def _wishes(self) -> Iterator[_Wish]:
        if self.reasoning_effort is not None:
            yield _of_effort("reasoning_effort", self.reasoning_effort)
        if self.reasoning is not None:
            yield from _of_reasoning(self.reasoning)
        if self.enable_thinking is not None:
            yield _Wish(param="enable_thinking", is_on=self.enable_thinking)
        if self.thinking is not None:
            yield _of_thinking(self.thinking)
        if self.think is not None:
            is_truth = isinstance(self.think, bool)
            yield (
                _Wish(param="think", is_on=self.think)
                if is_truth
                else _of_effort("think", self.think)
            )
        if self.include_reasoning is not None:
            yield _Wish(param="include_reasoning", is_shown=self.include_reasoning)
        if self.thinking_token_budget is not None:
            yield _Wish(param="thinking_token_budget", budget=self.thinking_token_budget)


def _of_effort(param: str, effort: Any) -> _Wish:
    if not isinstance(effort, str) or effort not in EFFORTS:
        names = ", ".join(f'"{name}"' for name in EFFORTS)
        raise InvalidRequest(f"{param} must be one of {names}, not {shown(effort)}.", param=param)
    if effort == "none":
        return _Wish(param=param, is_on=False)
    return _Wish(param=param, is_on=True, effort=effort)


def _of_reasoning(value: Any) -> Iterator[_Wish]:
    param = "reasoning"
    if isinstance(value, bool):
        yield _Wish(param=param, is_on=value)
        return
    given = object_of(value, param)
    check_names(given, param, ("effort", "max_tokens", "enabled", "exclude"))
    if "effort" in given:
        yield _of_effort(f"{param}.effort", given["effort"])
    if "enabled" in given:
        where = f"{param}.enabled"
        yield _Wish(param=where, is_on=_truth(given["enabled"], where))
    if "max_tokens" in given:
        where = f"{param}.max_tokens"
        yield _Wish(param=where, budget=_num_tokens(given["max_tokens"], where))
    if "exclude" in given:
        where = f"{param}.exclude"
        yield _Wish(param=where, is_shown=not _truth(given["exclude"], where))


def _of_thinking(value: Any) -> _Wish:
    param = "thinking"
    if isinstance(value, bool):
        return _Wish(param=param, is_on=value)
    given = object_of(value, param)
    check_names(given, param, ("type", "budget_tokens"))
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        names = ", ".join(f'"{name}"' for name in _KINDS)
        where = f"{param}.type"
        raise InvalidRequest(f"{where} must be one of {names}, not {shown(kind)}.", param=where)
    budget = None
    if "budget_tokens" in given:
        budget = _num_tokens(given["budget_tokens"], f"{param}.budget_tokens")
    return _Wish(param=param, is_on=_KINDS[kind], budget=budget)


def _truth(value: Any, param: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{param} must be true or false, not {shown(value)}.", param=param)
    return value


def _num_tokens(value: Any, param: str) -> int:
    """A number of tokens, which may be written as 1024.0."""
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    if not is_whole or not 0 <= value <= INT64_MAX:
        raise InvalidRequest(
            f"{param} must be an integer of at least 0, not {shown(value)}.", param=param
        )
    return int(value)
