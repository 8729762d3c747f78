"""Finding a model's dialect in its folder: a table, what it says itself, what its template shows.

::

    --tool-dialect NAME ──▶ tokens of a family in the table ──▶ response_template ─┐
                                            none ◀── derived from the chat template ◀┘

What the folder says itself and what its template shows are joined, part by part.
Deriving takes some tens of renderings, so what a template gives is kept by its digest while the
process lives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from serve.errors import StartupError
from serve.pipeline.model_dialects import deriving, table
from serve.pipeline.model_dialects.dialect import NO_DIALECT, CallSyntax, ModelDialect
from serve.pipeline.model_dialects.probing import Probe, Render
from serve.pipeline.model_dialects.response_templates import read_response_template
from serve.suggestion import near

AUTO = "auto"
OFF = "none"
_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTexts:
    """A folder's words on what its model writes.

    Attributes:
        template: the source of the chat template for tools.
        render: that template.
        tokens: ids of the tokenizer's added tokens by their names.
        end_texts: names of the tokens that end a turn.
        response_template: of tokenizer_config.json; None where there is none.
    """

    template: str
    render: Render
    tokens: Mapping[str, int]
    end_texts: Sequence[str]
    response_template: Any = None


def find_dialect(texts: ModelTexts | None, override: str = AUTO) -> ModelDialect:
    """The dialect of a model.

    Args:
        texts: None where the model has no chat template.
        override: ``auto``, ``none``, or a name of the table.

    Raises:
        StartupError: there is no dialect of that name.
    """
    if override == OFF:
        return NO_DIALECT
    if override != AUTO:
        return named(override)
    if texts is None:
        return NO_DIALECT
    known = table.of_markers(texts.template, texts.tokens)
    if known is not None:
        return known
    derived = _derived(_Key(texts))
    declared = read_response_template(texts.response_template)
    if declared is None:
        return derived
    return replace(
        declared,
        reasoning=declared.reasoning or derived.reasoning,
        calls=_more_exact(declared.calls, derived.calls),
    )


def named(name: str) -> ModelDialect:
    """A dialect of the table. Raises StartupError where there is none of that name."""
    dialect = table.DIALECTS.get(name)
    if dialect is None:
        raise StartupError(
            f"--tool-dialect {name[:60]}: there is no such dialect.{near(name, table.DIALECTS)} "
            f"There are: {AUTO}, {OFF}, {', '.join(sorted(table.DIALECTS))}."
        )
    return dialect


def _more_exact(declared: CallSyntax | None, derived: CallSyntax | None) -> CallSyntax | None:
    """The declared syntax, in the template's own spelling where that shows the same."""
    if declared is None or derived is None:
        return declared or derived
    is_same = type(declared.body) is type(derived.body) and derived.trigger.startswith(
        declared.trigger
    )
    return derived if is_same else declared


class _Key:
    """Texts of a model, equal where the template and the tokens' names are."""

    def __init__(self, texts: ModelTexts) -> None:
        self.texts = texts
        parts = (texts.template, sorted(texts.tokens), list(texts.end_texts))
        self._digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._digest == self._digest


@lru_cache(_KEPT)
def _derived(key: _Key) -> ModelDialect:
    texts = key.texts
    probe = Probe(texts.render, [text for text in texts.end_texts if text], list(texts.tokens))
    dialect = deriving.derive(probe, texts.template)
    if dialect.reasoning is None and dialect.calls is None:
        return NO_DIALECT
    return dialect
