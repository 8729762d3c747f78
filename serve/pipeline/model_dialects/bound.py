"""A dialect together with the tokenizer that its literals are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve.pipeline.model_dialects.dialect import NO_DIALECT, ModelDialect
from serve.pipeline.model_dialects.marks import marked


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundDialect:
    """A dialect for one tokenizer.

    Attributes:
        dialect: its literals as they are spelled.
        tokens: ids of the tokenizer's added tokens by their names.
        marked: the dialect with marks in the place of special tokens, which have no text.
        marks: marks by the names of those tokens.
    """

    dialect: ModelDialect
    tokens: Mapping[str, int]
    marked: ModelDialect
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def marks_by_id(self) -> dict[int, str]:
        return {self.tokens[name]: mark for name, mark in self.marks.items()}

    @property
    def is_plain(self) -> bool:
        """Whether an answer is nothing but content, whatever is asked of it."""
        dialect = self.dialect
        has_frame = bool(dialect.content_open.strip() or dialect.content_close.strip())
        return dialect.reasoning is None and dialect.frame == "plain" and not has_frame


def bind(
    dialect: ModelDialect, *, tokens: Mapping[str, int], special: Mapping[str, int]
) -> BoundDialect:
    """A dialect for a tokenizer.

    Args:
        tokens: ids of all added tokens by their names.
        special: of those that have no text.
    """
    changed, marks = marked(dialect, special)
    return BoundDialect(dialect=dialect, tokens=tokens, marked=changed, marks=marks)


UNBOUND = bind(NO_DIALECT, tokens={}, special={})
