"""Formats: each of their names comes to one grammar, and two of them to a refusal."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from serve.api.openai.chat import ChatCompletions
from serve.api.openai.completions import Completions
from serve.api.openai.constraints import ANY_OBJECT
from serve.engine.grammars.grammar import Grammar
from serve.errors import InvalidRequest
from serve.pipeline.events import Generation
from tests.serve.api.house import chat, house


class Answer(BaseModel):
    """A shape that a client of pydantic's asks for."""

    steps: list[str]
    result: int | None


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OF_SCHEMA = Grammar(kind="json_schema", text=json.dumps(SCHEMA))
OBJECT = Grammar(kind="json_schema", text=ANY_OBJECT)


def generation(**fields: Any) -> Generation:
    """The same of a chat and of a completion."""
    asked = ChatCompletions().parse(chat(**fields)).generation()
    text = Completions().parse({"model": "demo", "prompt": "x", **fields}).generation()
    assert asked.format == text.format
    return asked


def json_schema(schema: Any = SCHEMA, **named: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **named}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "text", "json_schema": None}}, None),
        ({"response_format": {}}, None),
        ({"response_format": False}, None),
        ({"response_format": {"type": "json_object"}}, OBJECT),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, OF_SCHEMA),
        ({"response_format": {"type": "json_object", "schema": None}}, OBJECT),
        ({"response_format": json_schema()}, OF_SCHEMA),
        ({"response_format": json_schema(strict=False)}, OF_SCHEMA),
        ({"response_format": json_schema(strict=True, description="y")}, OF_SCHEMA),
        ({"response_format": json_schema(strict=None, description=None)}, OF_SCHEMA),
        ({"response_format": json_schema({})}, replace(OF_SCHEMA, text="{}")),
        ({"response_format": json_schema(True)}, replace(OF_SCHEMA, text="true")),
        ({"response_format": json_schema(False)}, replace(OF_SCHEMA, text="false")),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, OF_SCHEMA),
        ({"structured_outputs": {}}, None),
        ({"structured_outputs": {"json": SCHEMA, "regex": None}}, OF_SCHEMA),
        ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, OF_SCHEMA),
        ({"structured_outputs": {"json_object": True, "choice": [], "json": ""}}, OBJECT),
        ({"structured_outputs": {"json": {}}}, replace(OF_SCHEMA, text="{}")),
        ({"structured_outputs": {"json_object": True, "_backend": "xgrammar"}}, OBJECT),
        ({"structured_outputs": {"regex": "a+"}}, Grammar(kind="regex", text="a+")),
        ({"structured_outputs": {"choice": ["a"]}}, Grammar(kind="choice", choices=("a",))),
        (
            {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": True}},
            replace(OF_SCHEMA, is_compact=True),
        ),
        (
            {"structured_outputs": {"json": SCHEMA, "disable_additional_properties": True}},
            replace(OF_SCHEMA, is_closed=True),
        ),
        (
            {"structured_outputs": {"json": SCHEMA, "whitespace_pattern": " ?"}},
            replace(OF_SCHEMA, whitespace=" ?"),
        ),
        (
            {"structured_outputs": {"regex": "a", "disable_any_whitespace": False}},
            Grammar(kind="regex", text="a"),
        ),
        ({"guided_json": SCHEMA}, OF_SCHEMA),
        ({"guided_json": json.dumps(SCHEMA)}, OF_SCHEMA),
        ({"guided_json": SCHEMA, "guided_decoding_backend": "outlines"}, OF_SCHEMA),
        ({"guided_json": SCHEMA, "guided_whitespace_pattern": ""}, OF_SCHEMA),
        (
            {"guided_json": SCHEMA, "guided_whitespace_pattern": " ?"},
            replace(OF_SCHEMA, whitespace=" ?"),
        ),
        ({"guided_json": {}, "guided_choice": [], "guided_regex": ""}, None),
        ({"guided_json_object": True}, OBJECT),
        ({"guided_json_object": False}, None),
        ({"guided_regex": "a+"}, Grammar(kind="regex", text="a+")),
        ({"guided_choice": ["a", "b"]}, Grammar(kind="choice", choices=("a", "b"))),
        ({"guided_grammar": 'start: "a"'}, Grammar(kind="lark", text='start: "a"')),
        ({"grammar": 'start: "a"'}, Grammar(kind="lark", text='start: "a"')),
        ({"json_schema": SCHEMA}, OF_SCHEMA),
        ({"json_schema": SCHEMA, "response_format": {"type": "text"}}, OF_SCHEMA),
    ],
)
def test_every_name_comes_to_one_grammar(fields: dict[str, Any], expected: Grammar | None) -> None:
    assert generation(**fields).format == expected


@pytest.mark.parametrize(
    "value",
    [
        {"type": "structural_tag", "format": {"type": "any_text"}},
        {"type": "structural_tag", "structures": [], "triggers": []},
    ],
)
def test_structural_tags_of_either_shape(value: dict[str, Any]) -> None:
    for fields in ({"response_format": value}, {"structured_outputs": {"structural_tag": value}}):
        asked = generation(**fields).format
        assert asked is not None
        assert (asked.kind, json.loads(asked.text)) == ("structural", value)
    text = {"structured_outputs": {"structural_tag": json.dumps(value)}}
    assert generation(**text).format == asked


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "response_format"),
        ({"response_format": {"type": "text"}}, "response_format"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "response_format.schema"),
        ({"response_format": json_schema()}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_schema", "schema": {}}}, "response_format.schema"),
        ({"structured_outputs": {"regex": "a", "json": None}}, "structured_outputs.regex"),
        ({"structured_outputs": {"json": {}}}, "structured_outputs.json"),
        ({"guided_json": SCHEMA}, "guided_json"),
        ({"grammar": 'start: "a"', "response_format": {"type": "text"}}, "grammar"),
    ],
)
def test_who_finds_fault_with_a_format_can_name_it(fields: dict[str, Any], param: str) -> None:
    assert generation(**fields).format_param == param


def test_schemas_as_pydantic_makes_them() -> None:
    asked = generation(response_format=json_schema(Answer.model_json_schema(), strict=True)).format
    assert asked is not None
    assert json.loads(asked.text) == Answer.model_json_schema()


RF = "response_format"
SO = "structured_outputs"


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({RF: "json"}, RF, "must be an object, not a string"),
        ({RF: {"schema": {}}}, f"{RF}.type", "is required"),
        ({RF: {"type": "xml"}}, f"{RF}.type", '"json_schema", "structural_tag", not a string'),
        ({RF: {"type": ["text"]}}, f"{RF}.type", "not an array"),
        ({RF: {"type": "text", "schema": {"a": 1}}}, f"{RF}.schema", "is not a field"),
        ({RF: {"type": "json_object", "schema": 5}}, f"{RF}.schema", "must be a JSON schema"),
        ({RF: {"type": "json_schema"}}, f"{RF}.json_schema", "is required"),
        ({RF: {"type": "json_schema", "json_schema": 5}}, f"{RF}.json_schema", "an object, not 5"),
        (
            {RF: {"type": "json_schema", "json_schema": {"name": "x"}}},
            f"{RF}.json_schema.schema",
            "is required",
        ),
        ({RF: json_schema("{}")}, f"{RF}.json_schema.schema", "must be a JSON schema"),
        ({RF: json_schema(strict=1)}, f"{RF}.json_schema.strict", "true or false, not 1"),
        ({RF: json_schema(name=5)}, f"{RF}.json_schema.name", "must be a string, not 5"),
        ({RF: json_schema(stric=True)}, f"{RF}.json_schema.stric", "Did you mean strict"),
        ({RF: {"type": "structural_tag"}}, RF, "needs either a format"),
        ({SO: []}, None, ""),
        ({SO: "x"}, SO, "must be an object"),
        ({SO: {"disable_any_whitespace": True}}, SO, "needs one of json, regex"),
        ({SO: {"json": SCHEMA, "regex": "a"}}, f"{SO}.regex", f"{SO}.json and {SO}.regex both"),
        ({SO: {"jsn": SCHEMA}}, f"{SO}.jsn", "Did you mean json"),
        ({SO: {"json": 5}}, f"{SO}.json", "must be a JSON schema"),
        ({SO: {"json_object": 1}}, f"{SO}.json_object", "must be true or false"),
        (
            {SO: {"regex": "a", "disable_any_whitespace": True}},
            f"{SO}.disable_any_whitespace",
            "goes with json",
        ),
        (
            {SO: {"json": {}, "disable_any_whitespace": "yes"}},
            f"{SO}.disable_any_whitespace",
            "must be true or false",
        ),
        (
            {SO: {"json": {}, "disable_any_whitespace": True, "whitespace_pattern": " "}},
            f"{SO}.whitespace_pattern",
            "send one of them",
        ),
        ({"guided_choice": "a"}, "guided_choice", "must be an array of strings"),
        ({"guided_whitespace_pattern": " ?"}, "guided_whitespace_pattern", "goes with a format"),
        (
            {"guided_regex": "a", "guided_whitespace_pattern": " ?"},
            "guided_whitespace_pattern",
            "goes with a format of JSON",
        ),
        ({"guided_json": SCHEMA, "guided_regex": "a"}, "guided_regex", "guided_json and guided_r"),
        ({RF: {"type": "json_object"}, "grammar": 'start: "a"'}, "grammar", f"{RF} and grammar"),
        ({RF: json_schema(), SO: {"json": SCHEMA}}, SO, f"{RF} and {SO} both say"),
    ],
)
def test_what_is_misshapen_or_twice_is_refused_by_its_name(
    fields: dict[str, Any], param: str | None, message: str
) -> None:
    if param is None:
        assert generation(**fields).format is None
        return
    with pytest.raises(InvalidRequest, match=message.replace("(", r"\(")) as refused:
        generation(**fields)
    assert refused.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("json_schema"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "json", "schema", "json_schema", "regex", "format", "name"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [RF, SO, "guided_json", "guided_regex", "guided_choice", "grammar", "json_schema"]
        ),
        JSON | st.fixed_dictionaries({"type": st.sampled_from(["json_schema", "text"])}),
        max_size=3,
    )
)
def test_whatever_is_sent_is_a_grammar_or_a_refusal(fields: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        asked = ChatCompletions().parse(chat(**fields)).generation()
        assert asked.format is None or isinstance(asked.format, Grammar)


async def test_a_misshapen_format_is_a_400_over_the_wire() -> None:
    async with house().client() as client:
        for path, body in (
            ("/v1/chat/completions", chat()),
            ("/v1/completions", {"model": "demo", "prompt": "x"}),
        ):
            response = await client.post(path, json={**body, RF: {"type": "json_schema"}})
            assert response.status_code == 400
            assert response.json()["error"]["param"] == f"{RF}.json_schema"
