"""Objects of a request: exact types, known names, and nothing said about what asks for nothing.

Clients spell out what they do not want: null, an empty string, array or object, false. Languages
without a type for each write one for the other (PHP an empty map as [], Lua an empty list as {}),
and write whole numbers with a point (RFC 8259, section 6, knows one kind of number). All of this
is read as it is meant, here, for every object of every route; what is meant otherwise is checked.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

INT64_MAX = 2**63 - 1
UNOFFERED = "unoffered"
"""The type of pydantic's error for what this server knows and does not offer."""


def is_empty(value: object) -> bool:
    """Whether a JSON value is null or an empty string, array or object."""
    return value is None or (isinstance(value, str | list | dict) and not value)


class Body(BaseModel):
    """A JSON object of a request.

    A field that is not required is as good as absent where it is empty. A name that is not declared
    is an error, unless its value is empty or false.

    Attributes:
        ignored_fields: names that are dropped with any value, for they cannot change an answer.
        kept_fields: declared names whose empty strings, arrays and objects mean something.
        flags: declared names, not of numbers or truths, for which false means none.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )
    ignored_fields: ClassVar[frozenset[str]] = frozenset()
    kept_fields: ClassVar[frozenset[str]] = frozenset()
    flags: ClassVar[frozenset[str]] = frozenset()
    elsewhere: ClassVar[dict[str, str]] = {}
    """Names of other routes' fields, each with what to do."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if not cls.is_dropped(name, value)}

    @classmethod
    def is_dropped(cls, name: str, value: object) -> bool:
        """Whether a field asks for nothing."""
        field = cls.model_fields.get(name)
        if field is None:
            return name in cls.ignored_fields or value is False or is_empty(value)
        if field.is_required():
            return False
        if value is False:
            return name in cls.flags
        return value is None or (is_empty(value) and name not in cls.kept_fields)


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def whole_numbers(values: Any) -> Any:
    """An array with whole numbers as integers; anything else as it is.

    Its types are looked at in C: it may have a million items.
    """
    if isinstance(values, list) and float in set(map(type, values)):
        return list(map(_whole, values))
    return values


WHOLE = BeforeValidator(_whole)
WHOLE_ITEMS = BeforeValidator(whole_numbers)
"""For integers, which may be written as 256.0 or 1e3. They stand behind a Field with bounds."""


def unoffered(reason: str) -> BeforeValidator:
    """A validator of a field that only empty values may have, which ``Body`` drops before."""

    def refuse(_value: Any) -> Any:
        raise PydanticCustomError(UNOFFERED, "{reason}", {"reason": reason})

    return BeforeValidator(refuse)
