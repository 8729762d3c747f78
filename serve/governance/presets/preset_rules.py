"""Presets of sampling and rules for answers, as a presets file has them. Pure values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest
from serve.pipeline.events import Generation
from serve.suggestion import near

FIELDS: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "max_tokens",
)
"""Those of ``SamplingParams`` that a preset may fill."""

Strip = Literal["whitespace", "code_fence", "reasoning"]
CutAt = Literal["sentence", "word", "character"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Values for what a request leaves open.

    Attributes:
        values: by the names of FIELDS.
        bounds: of these names, those whose value is the most that a request gets.
        answers: rules for the answer, by their name; None is none.
    """

    name: str
    values: Mapping[str, float | int]
    bounds: frozenset[str] = frozenset()
    answers: str | None = None


class Pattern(Protocol):
    """A pattern that is linear in the text (RE2's)."""

    @property
    def pattern(self) -> str: ...
    def fullmatch(self, text: str, /) -> object | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """Rules that an answer's content is brought into shape by.

    Attributes:
        verdict: what a record says where they reject an answer.
        max_chars: most characters; None is any number.
        must_match: of the whole content; None is any content.
        digest: of all that they say.
        passes: an answer that does not match the second time either is returned all the same.
    """

    name: str
    verdict: str
    strip: frozenset[Strip] = frozenset()
    max_chars: int | None = None
    cut_at: CutAt = "sentence"
    must_match: Pattern | None = None
    passes: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The names that a tenant or a key has."""

    preset: str | None = None
    answers: str | None = None


BUILT_IN: Final[Mapping[str, Preset]] = {
    "technical": Preset(name="technical", values={"temperature": 0.3, "max_tokens": 300}),
    "creative": Preset(name="creative", values={"temperature": 0.9, "max_tokens": 500}),
    "qa": Preset(name="qa", values={"temperature": 0.5, "max_tokens": 200}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetRules:
    """All that a presets file says; a server without one has the presets that are built in."""

    presets: Mapping[str, Preset] = field(default_factory=lambda: BUILT_IN)
    answers: Mapping[str, AnswerRules] = field(default_factory=dict)
    tenants: Mapping[str, Chosen] = field(default_factory=dict)
    keys: Mapping[str, Chosen] = field(default_factory=dict)

    def layers(self, wanted: str | None, of_key: str, tenant: str) -> list[Preset]:
        """The presets of a request, the first one's values going before the others'.

        Args:
            wanted: by the request.
            of_key: the one stored with its key; empty is none.

        Raises:
            InvalidRequest: there is no preset of such a name.
        """
        found: list[Preset] = []
        if wanted is not None:
            found.append(self._named(wanted, "is none of this server's."))
        if of_key:
            found.append(
                self._named(of_key, "is stored with this key, and is none: tell the operator.")
            )
        chosen = self.tenants.get(tenant)
        if chosen is not None and chosen.preset is not None:
            found.append(self.presets[chosen.preset])
        return found

    def answers_of(self, key_id: str, tenant: str, layers: list[Preset]) -> AnswerRules | None:
        """The rules for an answer: its key's, else its tenant's, else those of its presets."""
        names = (
            *(chosen.answers for chosen in self._chosen(key_id, tenant)),
            *(preset.answers for preset in layers),
        )
        return next((self.answers[name] for name in names if name is not None), None)

    def _chosen(self, key_id: str, tenant: str) -> Iterator[Chosen]:
        for table, name in ((self.keys, key_id), (self.tenants, tenant)):
            if name in table:
                yield table[name]

    def _named(self, name: str, why_not: str) -> Preset:
        if name not in self.presets:
            raise InvalidRequest(
                f"The preset '{name[:64]}' {why_not}{near(name, self.presets)} There are: "
                f"{', '.join(sorted(self.presets))}.",
                param="preset",
            )
        return self.presets[name]


_BUILT_IN = PresetRules()


def built_in() -> PresetRules:
    """The rules of a server without a presets file."""
    return _BUILT_IN


def _most(top_k: float) -> float:
    """The most tokens that a top_k leaves: 0 are all."""
    return top_k or math.inf


def filled(generation: Generation, layers: list[Preset]) -> Generation:
    """The generation with what its presets say of fields that the client did not give."""
    sampling = generation.sampling
    changes: dict[str, Any] = {}
    for name in FIELDS:
        value: float | int = getattr(sampling, name)
        if name not in generation.given:
            value = next((p.values[name] for p in layers if name in p.values), value)
        bounds = [preset.values[name] for preset in layers if name in preset.bounds]
        value = min([value, *bounds], key=_most if name == "top_k" else None)
        if value != getattr(sampling, name):
            changes[name] = value
    if not changes:
        return generation
    changed: SamplingParams = replace(sampling, **changes)
    return replace(generation, sampling=changed)
