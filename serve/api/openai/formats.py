"""The formats that an answer may be held to: OpenAI's ``response_format`` and others' names for it.

::

    response_format      OpenAI: text, json_object, json_schema; vLLM: structural_tag
    structured_outputs   vLLM, one of json, regex, choice, grammar, json_object, structural_tag
    guided_*             vLLM before it had structured_outputs
    grammar, json_schema llama.cpp

All become one Grammar. Whether a schema or an expression is a good one is for whoever compiles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import WithJsonSchema

from serve.api.openai.bodies import Body, is_empty
from serve.api.openai.constraints import (
    ANY_OBJECT,
    any_object_of,
    check_names,
    choice_of,
    grammar_of,
    json_of,
    object_of,
    regex_of,
    schema_of,
    structural,
    structural_of,
    text_of,
)
from serve.api.openai.refusals import shown
from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidRequest

TYPES: Final = ("text", "json_object", "json_schema", "structural_tag")

_SCHEMA: Final = {"anyOf": [{"type": "object"}, {"type": "boolean"}]}
_SCHEMA_OR_TEXT: Final = {"anyOf": [{"type": "object"}, {"type": "boolean"}, {"type": "string"}]}
_RULES: Final = ("disable_any_whitespace", "disable_additional_properties", "whitespace_pattern")
"""vLLM's rules for the JSON of a schema."""
_KINDS: Final = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
"""What vLLM's ``structured_outputs`` may ask for."""
_UNUSED: Final = frozenset({"disable_fallback", "backend", "_backend", "_backend_was_auto"})
"""Choices among vLLM's own implementations."""


def _described(schema: Mapping[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


ResponseFormat = Annotated[
    Any,  # the kinds have fields of their own, which are checked by response_format_of()
    _described(
        {
            "type": "object",
            "properties": {
                "type": {"enum": list(TYPES)},
                "json_schema": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "description": {"type": "string"},
                        "schema": _SCHEMA,
                        "strict": {"type": "boolean"},
                    },
                    "required": ["schema"],
                    "additionalProperties": False,
                },
                "schema": _SCHEMA,
                "format": {"type": "object"},
                "structures": {"type": "array", "items": {"type": "object"}},
                "triggers": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["type"],
        }
    ),
]
StructuredOutputs = Annotated[
    Any,
    _described(
        {
            "type": "object",
            "properties": {
                "json": _SCHEMA_OR_TEXT,
                "regex": {"type": "string"},
                "choice": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "grammar": {"type": "string"},
                "json_object": {"type": "boolean"},
                "structural_tag": {"anyOf": [{"type": "string"}, {"type": "object"}]},
                "disable_any_whitespace": {"type": "boolean"},
                "disable_additional_properties": {"type": "boolean"},
                "whitespace_pattern": {"type": "string"},
            },
            "additionalProperties": False,
        }
    ),
]
Text = Annotated[Any, _described({"type": "string"})]
Choices = Annotated[Any, _described({"type": "array", "items": {"type": "string", "minLength": 1}})]
Schema = Annotated[Any, _described(_SCHEMA_OR_TEXT)]


class FormatFields(Body):
    """The fields that hold an answer to a format. At most one of them asks for something."""

    flags: ClassVar = frozenset(
        {
            *("response_format", "structured_outputs", "grammar", "json_schema"),
            *("guided_json", "guided_regex", "guided_choice", "guided_grammar"),
            "guided_whitespace_pattern",
        }
    )

    response_format: ResponseFormat = None
    structured_outputs: StructuredOutputs = None
    guided_json: Schema = None
    guided_regex: Text = None
    guided_choice: Choices = None
    guided_grammar: Text = None
    guided_json_object: bool | None = None
    guided_whitespace_pattern: Text = None
    grammar: Text = None
    json_schema: Schema = None

    def format(self) -> tuple[Grammar | None, str]:
        """The language of the answer, None for free text, and the part of the request that says it.

        Raises:
            InvalidRequest: two fields ask for one, or one of them is misshapen.
        """
        found = list(self._formats())
        if len(found) > 1:
            (first, _), (second, _), *_ = found
            raise InvalidRequest(
                f"{first} and {second} both say what the answer has to look like: send one of "
                "them.",
                param=second,
            )
        name, grammar = found[0] if found else ("response_format", None)
        where = _part_of(name, getattr(self, name))
        if self.guided_whitespace_pattern is None:
            return grammar, where
        param = "guided_whitespace_pattern"
        if grammar is None or grammar.kind != "json_schema":
            raise InvalidRequest(f"{param} goes with a format of JSON: leave it out.", param=param)
        whitespace = text_of(self.guided_whitespace_pattern, param)
        return replace(grammar, whitespace=whitespace), where

    def _formats(self) -> Iterator[tuple[str, Grammar]]:
        """Each field that asks for a format, with it."""
        readers: dict[str, Callable[[Any, str], Grammar | None]] = {
            "response_format": response_format_of,
            "structured_outputs": structured_outputs_of,
            "guided_json": json_of,
            "guided_regex": regex_of,
            "guided_choice": choice_of,
            "guided_grammar": grammar_of,
            "guided_json_object": any_object_of,
            "grammar": grammar_of,
            "json_schema": json_of,
        }
        for name, read in readers.items():
            value = getattr(self, name)
            if value is not None and (grammar := read(value, name)) is not None:
                yield name, grammar


def _part_of(name: str, value: Any) -> str:
    """The part of a field's value that says the format."""
    if not isinstance(value, dict) or name not in {"response_format", "structured_outputs"}:
        return name
    if isinstance(value.get("json_schema"), dict):
        return f"{name}.json_schema.schema"
    part = next((part for part in ("schema", *_KINDS) if _asks(part, value.get(part))), None)
    return name if part is None else f"{name}.{part}"


def response_format_of(value: Any, param: str) -> Grammar | None:
    """The grammar of a ``response_format``; None for plain text. Raises InvalidRequest."""
    given = object_of(value, param)
    kind = given.get("type")
    if kind is None:
        raise InvalidRequest(f"{param}.type is required.", param=f"{param}.type")
    if kind not in TYPES:
        names = ", ".join(f'"{name}"' for name in TYPES)
        raise InvalidRequest(
            f"{param}.type must be one of {names}, not {shown(kind)}.", param=f"{param}.type"
        )
    if kind == "structural_tag":
        check_names(given, param, ("type", "format", "structures", "triggers"))
        return structural(given, param)
    if kind == "text":
        check_names(given, param, ("type",))
        return None
    if kind == "json_object":
        check_names(given, param, ("type", "schema"))
        if "schema" not in given:
            return Grammar(kind="json_schema", text=ANY_OBJECT)
        return schema_of(given["schema"], f"{param}.schema")
    if "json_schema" not in given:  # llama.cpp's shape, and that of OpenAI's newer route
        check_names(given, param, ("type", "name", "description", "schema", "strict"))
        return _named_schema(given, param, f"{param}.json_schema")
    check_names(given, param, ("type", "json_schema"))
    inner = f"{param}.json_schema"
    named = object_of(given["json_schema"], inner)
    check_names(named, inner, ("name", "description", "schema", "strict"))
    return _named_schema(named, inner, f"{inner}.schema")


def _named_schema(given: Mapping[str, Any], param: str, wanted: str) -> Grammar:
    """A schema with a name. Strict or not it is held to, as vLLM does."""
    for name, kind, demand in (
        ("name", str, "a string"),
        ("description", str, "a string"),
        ("strict", bool, "true or false"),
    ):
        if not isinstance(given.get(name, kind()), kind):
            where = f"{param}.{name}"
            raise InvalidRequest(
                f"{where} must be {demand}, not {shown(given[name])}.", param=where
            )
    if "schema" not in given:
        raise InvalidRequest(f"{wanted} is required.", param=wanted)
    return schema_of(given["schema"], f"{param}.schema")


def structured_outputs_of(value: Any, param: str) -> Grammar:
    """The grammar of vLLM's ``structured_outputs``. Raises InvalidRequest."""
    readers: dict[str, Callable[[Any, str], Grammar | None]] = {
        "json": json_of,
        "regex": regex_of,
        "choice": choice_of,
        "grammar": grammar_of,
        "json_object": any_object_of,
        "structural_tag": structural_of,
    }
    given = object_of(value, param)
    check_names(given, param, (*readers, *_RULES, *_UNUSED))
    found = [name for name in readers if _asks(name, given.get(name))]
    if len(found) != 1:
        two = " and ".join(f"{param}.{name}" for name in found[:2])
        raise InvalidRequest(
            f"{two} both say what the answer has to look like: send one of them."
            if found
            else f"{param} needs one of {', '.join(readers)}.",
            param=f"{param}.{found[1]}" if found else param,
        )
    where = f"{param}.{found[0]}"
    grammar = readers[found[0]](given[found[0]], where)
    if grammar is None:
        raise InvalidRequest(f"{where} must be true.", param=where)
    return _with_rules(grammar, given, param)


def _asks(name: str, value: Any) -> bool:
    """Whether a field of ``structured_outputs`` asks for something: an empty schema does."""
    return value is not False and (
        not is_empty(value) or (name in {"json", "schema"} and value == {})
    )


def _with_rules(grammar: Grammar, given: Mapping[str, Any], param: str) -> Grammar:
    """The grammar under vLLM's rules for the JSON of a schema. Raises InvalidRequest."""
    rules = {name: given[name] for name in _RULES if given.get(name, False) is not False}
    for name, value in rules.items():
        where = f"{param}.{name}"
        if name == "whitespace_pattern":
            text_of(value, where)
        elif value is not True:
            raise InvalidRequest(f"{where} must be true or false, not {shown(value)}.", param=where)
        if grammar.kind != "json_schema":
            raise InvalidRequest(
                f"{where} goes with json or json_object: leave it out.", param=where
            )
    if rules.keys() >= {"disable_any_whitespace", "whitespace_pattern"}:
        raise InvalidRequest(
            f"{param}.whitespace_pattern says what white space there may be, and "
            f"{param}.disable_any_whitespace that there is none: send one of them.",
            param=f"{param}.whitespace_pattern",
        )
    if not rules:
        return grammar
    return replace(
        grammar,
        is_compact="disable_any_whitespace" in rules,
        is_closed="disable_additional_properties" in rules,
        whitespace=rules.get("whitespace_pattern"),
    )
