"""Parse a JSON object into a typed request, or name the first thing that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from models.rules.names import quoted
from serve.api.http.strict_json import JsonObject
from serve.api.openai.bodies import Body
from serve.api.openai.fields import FieldTable
from serve.api.openai.refusals import MAX_ECHO_CHARS, Path, param_of, refusal
from serve.errors import InvalidRequest, UnsupportedField
from serve.suggestion import near

B = TypeVar("B", bound=Body)


def parse_body(kind: type[B], data: Mapping[str, Any], table: FieldTable) -> B:
    """A request of that kind.

    Args:
        data: where it is a JsonObject, numbers are told as the client wrote them.
        table: what becomes of fields that the kind does not declare.

    Raises:
        UnsupportedField: a field that we know and do not honour, with a value that asks for it.
        InvalidRequest: anything else that is wrong; ``param`` names the field as it was sent.
    """
    known = {name: value for name, value in data.items() if _is_declared(kind, name, value, table)}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]

    def written(path: Path) -> str | None:
        return data.written(path) if isinstance(data, JsonObject) else None

    raise refusal(first, known, written, lambda path: _names(kind, known, path))


def _is_declared(kind: type[Body], name: str, value: object, table: FieldTable) -> bool:
    """Whether a field is for the model to check; one to ignore is not. Raises for all others."""
    if name in kind.model_fields:
        return True
    if name in table.ignored:
        return False
    unsupported = table.refused.get(name)
    if unsupported is not None:
        if unsupported.is_neutral(value):
            return False
        raise UnsupportedField(f"{name} is not supported: {unsupported.reason}.", param=name)
    if Body.is_dropped(name, value):
        return False
    if name in kind.elsewhere:
        raise InvalidRequest(f"{name} {kind.elsewhere[name]}", param=name)
    shown = name[:MAX_ECHO_CHARS]
    raise InvalidRequest(
        f"Unknown field {quoted(shown)}.{near(shown, kind.model_fields)} Leave it out.",
        param=param_of((name,)),
    )


def _names(kind: type[BaseModel], data: Any, path: Path) -> list[str]:
    """Names that an object at a path may have: of every type that can stand there."""
    kinds = {kind}
    for step in path:
        data = data[step]
        if isinstance(step, str):
            kinds = {
                inner
                for outer in kinds
                if step in outer.model_fields
                for inner in _models_in(outer.model_fields[step].rebuild_annotation())
            }
    meant = {each for each in kinds if _is_meant(each, data)} or kinds
    return sorted({name for each in meant for name in each.model_fields})


def _is_meant(kind: type[BaseModel], data: Mapping[str, Any]) -> bool:
    """Whether an object's own words for what it is, role and type, are those of a kind."""
    return all(
        data[tag] in get_args(kind.model_fields[tag].annotation)
        for tag in ("role", "type")
        if tag in data and tag in kind.model_fields
    )


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """The models that a type's annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    inner = getattr(annotation, "__args__", ())
    return {model for each in inner for model in _models_in(each)}
