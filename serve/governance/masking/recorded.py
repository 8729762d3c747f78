"""Fields that the audit trail has masked beside the prompts, where the engine has them as they are.

Stop strings, words to avoid and formats reach the engine as they are, for they would not work
otherwise. A record of them needs no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from serve.governance.masking.rules import RuleSet
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import masked
from serve.pipeline.events import Generation

FIELDS = ("stop", "bad_words", "format", "tool_use")
_NAMES = frozenset({"kind", "name"})
"""Fields of a format and of a tool that say what it is."""


def recorded_fields(generation: Generation, rules: RuleSet) -> dict[str, Any]:
    """The fields that a record has otherwise than the engine: a label stands for what rules hit.

    What is only counted stays. Nobody is told of hits here.
    """
    detectors = [each for rule in rules.rules if rule.action != "count" for each in rule.detectors]
    scanner = Scanner(detectors)
    found = {}
    for name in FIELDS:
        value = getattr(generation, name)
        told = _masked(value, scanner) if value else value
        if told != value:
            found[name] = told
    return found


def texts_beside(generation: Generation) -> Iterator[str]:
    """The texts of these fields."""
    for name in FIELDS:
        yield from _texts(getattr(generation, name))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for part in fields(value):
            yield from _texts(getattr(value, part.name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (*_texts(key), *_texts(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _label(hit: Hit, _key: str, _value: str) -> str:
    return f"[{hit.detector.label}]"


def _masked(value: Any, scanner: Scanner) -> Any:
    if isinstance(value, str):
        return masked(value, scanner, _label)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            part.name: _masked(getattr(value, part.name), scanner)
            for part in fields(value)
            if part.name not in _NAMES
        }
        return replace(value, **changed)
    if isinstance(value, Mapping):
        return {_masked(key, scanner): _masked(each, scanner) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_masked(each, scanner) for each in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = _masked(str(value).removesuffix(".0"), scanner)
        return value if text == str(value).removesuffix(".0") else text
    return value
