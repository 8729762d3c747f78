"""The forms of a call, read out of a rendering."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.call_forms import (
    Form,
    common_prefix,
    common_suffix,
    forms,
    json_form,
    named_form,
    numbered,
    tagged_form,
)
from serve.pipeline.model_dialects.dialect import JsonCall, NamedCall, Piece, TaggedCall
from serve.pipeline.model_dialects.probing import FIRST, IDS, KEYS, VALUES

ARGUMENTS = json.dumps(dict(zip(KEYS, VALUES, strict=True)))


def joined(form: Form | None) -> str:
    assert form is not None
    return "".join(f"<{piece.text}>" if piece.is_hole else piece.text for piece in form.pieces)


def test_one_json_object() -> None:
    text = f'<c>{{"name": "{FIRST}", "arguments": {ARGUMENTS}, "id": "{IDS[0]}"}}</c>'
    form = json_form(text, FIRST)
    assert form is not None
    assert form.body == JsonCall(name=("name",), arguments=("arguments",), id=("id",))
    assert (text[: form.start], text[form.end :]) == ("<c>", "</c>")
    assert joined(form) == '{"name": "<name>", "arguments": <arguments>, "id": "<id>"}'


def test_arguments_that_are_text() -> None:
    text = json.dumps({"type": "function", "function": {"name": FIRST, "arguments": ARGUMENTS}})
    form = json_form(text, FIRST)
    assert form is not None
    assert form.body == JsonCall(
        name=("function", "name"), arguments=("function", "arguments"), arguments_are_text=True
    )


@pytest.mark.parametrize(
    ("text", "body", "pieces"),
    [
        (f"[C]{FIRST}[A]{ARGUMENTS}", NamedCall(name_end="[A]"), "<name>[A]<arguments>"),
        (
            f"[C]{FIRST}[I]{IDS[0]}[A]{ARGUMENTS}",
            NamedCall(name_end="[I]", id_end="[A]"),
            "<name>[I]<id>[A]<arguments>",
        ),
        (
            f"{IDS[0]} = {FIRST}\n{ARGUMENTS}",
            NamedCall(name_open=" = ", name_end="\n"),
            "<id> = <name>\n<arguments>",
        ),
    ],
)
def test_a_name_before_json(text: str, body: NamedCall, pieces: str) -> None:
    form = named_form(text, FIRST)
    assert form is not None
    assert form.body == body
    assert joined(form) == pieces


def test_arguments_one_by_one() -> None:
    text = f"<f={FIRST}>\n" + "".join(
        f"<p={key}>\n{value}\n</p>\n" for key, value in zip(KEYS, VALUES, strict=True)
    )
    form = tagged_form(f"{text}</f>", FIRST, [])
    assert form is not None
    assert form.body == TaggedCall(
        name_end=">", key_open="\n<p=", key_end=">\n", value_end="\n</p>"
    )
    python = f"[{FIRST}({KEYS[0]}='{VALUES[0]}', {KEYS[1]}='{VALUES[1]}')]"
    form = tagged_form(python, FIRST, [])
    assert form is not None
    assert form.body == TaggedCall(
        name_end="(", key_open="", key_end="=", value_end="", separator=", ", quote="'"
    )


def test_a_number_is_what_two_calls_differ_in() -> None:
    def form(number: int) -> Form:
        pieces = (Piece("name", is_hole=True), Piece(f":{number}<a>"))
        return Form(0, 9, NamedCall(name_end=f":{number}<a>"), pieces)

    changed = numbered(form(0), form(1))
    assert joined(changed) == "<name>:<number><a>"
    assert changed.body == NamedCall(name_end=":", id_end="<a>")
    assert numbered(form(0), None) == form(0)


def test_a_number_elsewhere_is_left_as_it_is() -> None:
    def form(number: int) -> Form:
        pieces = (Piece("name", is_hole=True), Piece("<i>"), Piece(f"<a{number}>"))
        return Form(0, 9, NamedCall(name_end="<i>", id_end=f"<a{number}>"), pieces)

    assert numbered(form(0), form(1)) == form(0)


def test_common_ends_are_of_whole_atoms() -> None:
    assert common_prefix("<ab>x", "<ac>x", []) == ""
    assert common_prefix("<ab>x", "<ab>y", []) == "<ab>"
    assert common_suffix("one</a>\n", "two</a>\n", []) == "</a>\n"


@given(
    st.text(alphabet='{}":,<>=[]( \n', max_size=12),
    st.permutations([FIRST, *KEYS, *VALUES, *IDS, ARGUMENTS]),
)
def test_any_text_is_borne(between: str, words: list[str]) -> None:
    text = between.join(words)
    for read in forms(["<a>"]):
        form = read(text, FIRST)
        if form is not None:
            assert 0 <= form.start <= form.end <= len(text)
            numbered(form, form)
