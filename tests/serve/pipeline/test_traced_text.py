"""A traced text is the same text in every way, and its mask follows each character.

The two sides write with alphabets of their own here, so any result says by itself who wrote what.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.pipeline.traced_text import (
    TracedText,
    carries,
    client,
    lifted,
    mask_of,
    of_client,
    text_of,
    traced,
)

OURS, THEIRS = "xyßXY. \t", "abİΣAB,-\n"
PIECES = st.lists(
    st.one_of(st.text(OURS, max_size=4), st.text(THEIRS, max_size=4).map(client)), max_size=5
)
BOTH = PIECES.map(lambda pieces: lifted("").join(pieces))


def plain(value: Any) -> Any:
    """The value with untraced texts."""
    if isinstance(value, str):
        return str.__str__(value)
    return type(value)(plain(item) for item in value) if isinstance(value, list | tuple) else value


def letters(alphabet: str) -> set[str]:
    folds = (str.lower, str.upper, str.title, str.casefold, str.swapcase, str.capitalize)
    return {letter for character in alphabet for fold in folds for letter in fold(character)}


def check(value: Any) -> None:
    """Every character of a result has the mask that its alphabet says."""
    if isinstance(value, list | tuple):
        for item in value:
            check(item)
    elif isinstance(value, str):
        assert (type(value) is TracedText) == (1 in mask_of(value))
        ours = letters(OURS) - letters(THEIRS)
        theirs = letters(THEIRS) - letters(OURS)
        for character, of_client_ in zip(str.__str__(value), mask_of(value), strict=True):
            assert not (of_client_ and character in ours), (character, value)
            assert of_client_ or character not in theirs, (character, value)


CALLS: dict[str, list[tuple[Any, ...]]] = {
    **{name: [()] for name in ("capitalize", "casefold", "lower", "swapcase", "title", "upper")},
    "expandtabs": [(), (3,)],
    "translate": [({ord("a"): "bb", ord("x"): None, ord("y"): "XY"},)],
    **{name: [(), ("xa",), (" \n",)] for name in ("strip", "lstrip", "rstrip")},
    **{name: [("xa",), ("b",), ("",)] for name in ("removeprefix", "removesuffix")},
    **{name: [(), ("a",), ("xy",), (None, 1), ("x", 1)] for name in ("split", "rsplit")},
    "splitlines": [(), (True,)],
    **{name: [("a",), ("xy",)] for name in ("partition", "rpartition")},
    **{name: [(9,), (12, "x"), (11, client("a"))] for name in ("center", "ljust", "rjust")},
    "zfill": [(12,)],
    "replace": [("x", "yy"), ("a", client("bb")), ("", "x"), ("x", "", 1), ("xy", "X", 0)],
    "join": [(["x", client("b"), "y"],), ([],)],
    "__add__": [("x",), (client("a"),), ("",)],
    "__mul__": [(0,), (3,), (-1,)],
    "__getitem__": [(slice(1, 4),), (slice(None, None, -1),), (slice(-3, None, 2),)],
}


@given(text=BOTH)
def test_a_method_gives_the_same_text_and_knows_who_wrote_it(text: str) -> None:
    for name, args in [(name, args) for name, many in CALLS.items() for args in many]:
        made = getattr(lifted(text), name)(*args)
        assert plain(made) == getattr(str.__str__(text), name)(*args), (name, args)
        check(made)


GIVE_NO_TEXT = {
    *("count", "encode", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal"),
    *("isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle"),
    *("isupper", "maketrans", "rfind", "rindex", "startswith"),
}


def test_every_method_that_gives_text_is_followed() -> None:
    """A method that a later Python brings must be followed, too."""
    methods = {name for name in dir(str) if not name.startswith("_")}
    followed = methods & {*TracedText.__dict__}
    assert methods - followed == GIVE_NO_TEXT
    assert followed - {*CALLS} == {"format", "format_map"}


@given(text=BOTH)
def test_a_text_is_compared_searched_counted_and_walked_as_ever(text: str) -> None:
    same = str.__str__(text)
    assert (text == same, hash(text), len(text), repr(text)) == (
        True,
        hash(same),
        len(same),
        repr(same),
    )
    assert [plain(c) for c in text] == list(same)
    check(list(text))
    check("x" + text)
    check([text[i] for i in range(-len(text), len(text))])
    assert ("ab" in text, text < "b", {same: 1}.get(text)) == ("ab" in same, same < "b", 1)


@pytest.mark.parametrize(
    ("template", "values", "mask"),
    [
        ("x%sy", ("ab",), "0110"),
        ("%s%%%s", ("a", "b"), "101"),
        ("%5s|", ("a",), "111110"),
        ("%(k)sx", {"k": "ab"}, "110"),
        ("%.1fx", (1.5,), "0000"),
        ("%*sx", (3, "a"), "1110"),
        ("x%ry", ("a",), "01110"),
        ("%(a(b))sx", {"a(b)": "ab"}, "111"),
    ],
)
def test_printf_is_followed_by_its_conversions(template: str, values: Any, mask: str) -> None:
    """What its expression does not know is the client's as a whole."""
    made = lifted(template) % of_client(values) if isinstance(values, dict) else None
    if made is None:
        made = lifted(template) % tuple(of_client(list(values)))
    assert plain(made) == template % values
    assert list(mask_of(made)) == [int(bit) for bit in mask]


def test_printf_refuses_what_it_refuses() -> None:
    for bad in (("%d", "a"), ("%s %s", "a"), ("%(k)s", "a"), ("%q", "a")):
        with pytest.raises((TypeError, ValueError)):
            lifted(bad[0]) % client(bad[1])


def test_other_types_are_refused_as_by_any_text() -> None:
    for wrong in (lambda: client("a") + 1, lambda: 1 + client("a"), lambda: client("a")["b"]):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        lifted("").join(["a", 1])  # type: ignore[list-item]


def test_a_value_carries_something_of_a_client_or_not() -> None:
    for value in ("a", 1, None, True, [1, {"a": ("b",)}], {}, range(3), lifted("a")):
        assert not carries(value)
    for value in (client("a"), [{"a": [client("b")]}], {client("k"): 1}, b"bytes", object()):
        assert carries(value)
    assert mask_of(text_of([client("a")])) == b"\1" * len("['a']")
    assert type(text_of([1, "a"])) is str


def test_json_is_traced_with_its_keys() -> None:
    value = of_client({"k": ["a", {"b": "c"}, 1, None], "": True})
    assert value == {"k": ["a", {"b": "c"}, 1, None], "": True}
    assert all(type(key) is TracedText for key in value if key)
    assert type(value["k"][1]["b"]) is TracedText


def test_a_mask_that_does_not_fit_makes_the_text_the_clients() -> None:
    assert mask_of(traced("abc", b"\0")) == b"\1\1\1"
