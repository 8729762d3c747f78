"""The presets file: TOML, read whole, and refused whole where a line of it cannot be meant::

    version = "3"                      named with each answer that is rejected

    [presets.support]
    temperature = 0.2
    max_tokens = 300
    at_most = ["max_tokens"]           its value is the most that a request gets
    answers = "short"

    [answers.short]
    strip = ["whitespace", "code_fence", "reasoning"]
    max_chars = 400
    cut_at = "sentence"                or "word", "character"
    must_match = "[A-E]"               RE2, of the whole content
    on_mismatch = "refuse"             after one more try; or "pass"

    [tenants.clinic]
    preset = "support"
    answers = "short"

    [keys."AbC123"]                    by the key's id
    answers = "short"

The presets technical, creative and qa are there without being written; docs/presets.md explains
each field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import re2

from serve.errors import StartupError
from serve.governance.file_tables import Table, digest_of, read_document
from serve.governance.presets.preset_rules import (
    BUILT_IN,
    FIELDS,
    AnswerRules,
    Chosen,
    Pattern,
    Preset,
    PresetRules,
)
from serve.suggestion import near

MAX_NAMED: Final = 1000
MAX_CHARS: Final = 1_000_000
MAX_TOKENS: Final = 10_000_000
MAX_PATTERN_CHARS: Final = 4096

PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0.000001, 1),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (0.01, 2),
}
_STRIPS = ("whitespace", "code_fence", "reasoning")
_KIND = "Presets file"


def read_presets(path: Path) -> PresetRules:
    """Read a presets file.

    Raises:
        StartupError: it cannot be read, or a line of it cannot be meant.
    """
    document = read_document(path, _KIND)
    try:
        return parse_presets(document)
    except StartupError as error:
        raise StartupError(f"{_KIND} {path}: {error}") from None


def parse_presets(document: Mapping[str, Any]) -> PresetRules:
    """The presets and rules of a file's content. Raises StartupError."""
    allowed = ("version", "presets", "answers", "tenants", "keys")
    top = Table("the top of the file", document, allowed)
    version = top.text("version")
    if version is not None and not PRESET_NAME.fullmatch(version):
        top.refuse(f"version is {version!r}: up to 64 letters, digits, dots, dashes, underscores")
    answers = {
        name: _answers(name, table, version) for name, table in _named(top, "answers").items()
    }
    own = {name: _preset(name, table, answers) for name, table in _named(top, "presets").items()}
    presets = {**BUILT_IN, **own}
    tenants = {
        name: _chosen(Table(f'[tenants."{name}"]', table, ("preset", "answers")), presets, answers)
        for name, table in _named(top, "tenants").items()
    }
    keys = {
        name: _chosen(Table(f'[keys."{name}"]', table, ("answers",)), presets, answers)
        for name, table in _named(top, "keys").items()
    }
    return PresetRules(presets=presets, answers=answers, tenants=tenants, keys=keys)


def _named(top: Table, name: str) -> Mapping[str, Any]:
    tables = top.inner(name)
    if len(tables) > MAX_NAMED:
        top.refuse(f"{name} has {len(tables)} tables: at most {MAX_NAMED}")
    return tables


def _preset(name: str, table: object, answers: Mapping[str, AnswerRules]) -> Preset:
    fields = Table(f"[presets.{name}]", table, (*FIELDS, "at_most", "answers"))
    _check_name(fields, name)
    values: dict[str, float | int | None] = {
        field: fields.number(field, *bounds) for field, bounds in _RANGES.items()
    }
    values["top_k"] = fields.count("top_k", least=0)
    values["max_tokens"] = fields.count("max_tokens", MAX_TOKENS)
    given = {field: value for field, value in values.items() if value is not None}
    bounds = fields.texts("at_most", len(FIELDS), 32)
    for field in bounds:
        if field not in given:
            fields.refuse(f"at_most has {field!r}, of which it gives no value")
    chosen = fields.text("answers")
    if not given and chosen is None:
        fields.refuse(f"it says nothing: give some of {', '.join(FIELDS)}, or answers")
    return Preset(
        name=name,
        values=given,
        bounds=frozenset(bounds),
        answers=_known(fields, "answers", chosen, answers),
    )


def _answers(name: str, table: object, version: str | None) -> AnswerRules:
    fields = Table(
        f"[answers.{name}]", table, ("strip", "max_chars", "cut_at", "must_match", "on_mismatch")
    )
    _check_name(fields, name)
    strips = fields.texts("strip", len(_STRIPS), 32)
    for strip in strips:
        if strip not in _STRIPS:
            fields.refuse(
                f"strip has {strip!r}: {', '.join(_STRIPS)} are known.{near(strip, _STRIPS)}"
            )
    max_chars = fields.count("max_chars", MAX_CHARS)
    cut_at = fields.one_of("cut_at", ("sentence", "word", "character"))
    if cut_at is not None and max_chars is None:
        fields.refuse("cut_at goes with max_chars: give that, too")
    pattern, passes = _must_match(fields)
    if not strips and max_chars is None and pattern is None:
        fields.refuse("it says nothing: give strip, max_chars or must_match")
    return AnswerRules(
        name=name,
        verdict=f"answer:{name}" + (f"@{version}" if version else ""),
        strip=frozenset(cast("Any", strips)),
        max_chars=max_chars,
        cut_at=cast("Any", cut_at or "sentence"),
        must_match=pattern,
        passes=passes,
        digest=digest_of({"rules": table}),
    )


def _must_match(fields: Table) -> tuple[Pattern | None, bool]:
    pattern = fields.line("must_match", MAX_PATTERN_CHARS)
    outcome = fields.one_of("on_mismatch", ("refuse", "pass"))
    if pattern is None:
        if outcome is not None:
            fields.refuse("on_mismatch goes with must_match: give that, too")
        return None, False
    options = re2.Options()
    options.log_errors = False
    try:
        found: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        fields.refuse(f"must_match is {pattern!r}, which RE2 does not take: {told}")
    return found, outcome == "pass"


def _chosen(
    fields: Table, presets: Mapping[str, Preset], answers: Mapping[str, AnswerRules]
) -> Chosen:
    chosen = Chosen(
        preset=_known(fields, "preset", fields.text("preset"), presets),
        answers=_known(fields, "answers", fields.text("answers"), answers),
    )
    if chosen == Chosen():
        fields.refuse("it says nothing: give a preset or answers")
    return chosen


def _known(fields: Table, kind: str, name: str | None, known: Mapping[str, object]) -> str | None:
    if name is not None and name not in known:
        fields.refuse(
            f"{kind} is {name!r}, which the file does not have.{near(name, known)} There are: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    return name


def _check_name(fields: Table, name: str) -> None:
    if not PRESET_NAME.fullmatch(name):
        fields.refuse(
            "its name is not of letters, digits, dots, dashes and underscores, at most 64"
        )
