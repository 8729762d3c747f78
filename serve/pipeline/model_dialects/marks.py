"""Marks: characters that stand for special tokens in the text of an answer.

Special tokens have no text, and dialects are made of them. A mark is a surrogate, which no text can
hold, so what a model spells in plain tokens is never taken for the token itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from serve.pipeline.model_dialects.dialect import ModelDialect, texts_of
from serve.pipeline.model_dialects.harmony import MARKUP

T = TypeVar("T")
_FIRST_MARK = 0xDC00
"""Behind those of stop strings (serve/pipeline/stop.py)."""


def marked(
    dialect: ModelDialect, special_ids: Mapping[str, int]
) -> tuple[ModelDialect, dict[str, str]]:
    """The dialect with marks in the place of special tokens' names, and the marks by name.

    Args:
        special_ids: ids of the special tokens by their names.
    """
    texts = texts_of(dialect)
    if dialect.frame == "harmony":
        texts += MARKUP
    names = [name for name in special_ids if name and any(name in text for text in texts)]
    names.sort(key=len, reverse=True)
    marks = {name: chr(_FIRST_MARK + number) for number, name in enumerate(names)}

    def change(text: str) -> str:
        for name, mark in marks.items():
            text = text.replace(name, mark)
        return text

    if not marks:
        return dialect, {}
    return _changed(dialect, change), marks


def _changed(value: T, change: Any) -> T:
    made: Any = value
    if isinstance(value, str):
        made = change(value)
    elif isinstance(value, tuple):
        made = tuple([_changed(item, change) for item in value])
    elif is_dataclass(value) and not isinstance(value, type):
        changes = {
            field.name: _changed(getattr(value, field.name), change) for field in fields(value)
        }
        made = replace(value, **changes)
    return made  # type: ignore[no-any-return]
