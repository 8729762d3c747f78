"""A TOML file whose tables are pydantic models: read, checked, and its faults in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from serve.errors import StartupError
from serve.governance.file_tables import read_document
from serve.suggestion import near

_WORDS: Final = {"missing": "it is needed and missing", "extra_forbidden": "there is no such key"}
"""Words for faults, by the validator's names for them."""


class TypedTable(BaseModel):
    """One table of a file; a key that it has not is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Shape = TypeVar("Shape", bound=BaseModel)


def read_typed(path: Path, kind: str, shape: type[Shape], max_bytes: int) -> Shape:
    """A file's content.

    Args:
        kind: what the file is, for errors: ``--alerts-file``.

    Raises:
        StartupError: it cannot be read, or something in it is wrong; with the file and each key.
    """
    document = read_document(path, kind, max_bytes)
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        lines = [_explained(shape, problem["loc"], problem) for problem in problems]
        raise StartupError("\n".join(f"{kind} {path}: {line}" for line in lines)) from None


@contextmanager
def named(key: str) -> Iterator[None]:
    """A block whose ValueErrors name the key at fault."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _explained(shape: type[BaseModel], place: tuple[Any, ...], problem: Any) -> str:
    """A fault's key and words. The value is not repeated: it may be a secret."""
    hint = ""
    if problem["type"] == "extra_forbidden":
        hint = near(str(place[-1]), _keys(shape, place[:-1]))
    words = _WORDS.get(problem["type"], problem["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {words}.{hint}"


def _keys(shape: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys of the table that stands at a place: names of tables, and places in lists."""
    fields = {field.alias or name: field for name, field in shape.model_fields.items()}
    for number, part in enumerate(place):
        if part in fields and (inner := _table_in(fields[part].annotation)):
            return _keys(inner, place[number + 1 :])
    return list(fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The table in a field's type: ``Table``, ``Table | None`` or ``list[Table]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
