"""Sizes that are asked for: never smaller than what Python then makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from jinja2.filters import do_indent, do_wordwrap

from serve.pipeline import template_sizes as sizes
from serve.pipeline.template_meter import Bounds, Meter, TemplateBoundError

ROOMY = Bounds(steps=10**9, value_chars=10**12, made_chars=10**13, seconds=60.0)
texts = st.text("ab %\n\t", max_size=12)
numbers = st.integers(0, 40)


class Asked(Meter):
    """A meter that keeps the largest size that was asked for."""

    most = 0

    def room(self, num_chars: int) -> None:
        self.most = max(self.most, num_chars)
        super().room(num_chars)


def asked(check: Any, *args: Any) -> int:
    meter = Asked(ROOMY)
    check(meter, *args)
    return meter.most


def method(owner: str, name: str, *args: Any, **kwargs: Any) -> int:
    return asked(sizes.check_method, owner, name, args, kwargs)


@given(texts, st.text("ab", max_size=2), texts, st.integers(-1, 3))
def test_a_replacement(text: str, old: str, new: str, count: int) -> None:
    assert asked(sizes.check_replace, text, old, new, count) >= len(text.replace(old, new, count))
    assert method(text, "replace", old, new, count) >= len(text.replace(old, new, count))


@given(texts, texts, numbers)
def test_sums_and_products_of_texts(one: str, other: str, times: int) -> None:
    assert asked(sizes.check_binary, "+", one, other) == len(one + other)
    assert asked(sizes.check_binary, "*", one, times) == len(one * times)
    assert asked(sizes.check_binary, "*", -times, one) == 0
    assert asked(sizes.check_binary, "+", [one], [other]) == 32


@given(texts, numbers)
def test_methods_that_pad(text: str, width: int) -> None:
    for name in ("center", "ljust", "rjust", "zfill"):
        assert method(text, name, width) >= len(getattr(text, name)(width))
    assert method(text, "expandtabs", tabsize=width) >= len(text.expandtabs(width))


@given(texts, st.lists(texts, max_size=5))
def test_joined_texts(between: str, items: list[str]) -> None:
    assert method(between, "join", items) >= len(between.join(items))
    assert asked(sizes.check_join, items, between) == len(between.join(items))


@given(texts, numbers)
def test_indented_and_wrapped_texts(text: str, width: int) -> None:
    indented = do_indent(text, width, first=True, blank=True)
    assert asked(sizes.check_indent, text, width) >= len(indented) - 1  # a line feed at its end
    wrapped = do_wordwrap(Environment(), text, width + 1, wrapstring="--")
    assert asked(sizes.check_wordwrap, text, width + 1, "--") >= len(wrapped)


@given(
    st.recursive(st.text("ab", max_size=3), lambda inner: st.lists(inner, max_size=3)),
    st.integers(1, 40),
)
def test_indented_json(value: Any, width: int) -> None:
    made = json.dumps([value], indent=width)
    assert asked(sizes.check_json, [value], (), {"indent": width}) >= len(made)


def test_a_translation_and_an_encoding() -> None:
    assert method("aaa", "translate", {97: "xyz"}) == 9
    assert method("aaa", "encode", "utf-32") >= len("aaa".encode("utf-32")) - 4
    with pytest.raises(TemplateBoundError, match="otherwise than as UTF-8"):
        method("aaa", "encode", "punycode")


@pytest.mark.parametrize(
    ("template", "values"),
    [("%s and %s", ("a", "b")), ("%40d", 5), ("%-40.30s|", "x"), ("%(a)s%(a)s", {"a": "long" * 9})],
)
def test_a_printed_format(template: str, values: Any) -> None:
    assert asked(sizes.check_printf, template, values) >= len(template % values)


@pytest.mark.parametrize("template", ["{:>40}", "{0}{0}{0}", "{:{}}"])
def test_a_format_of_braces(template: str) -> None:
    if template == "{:{}}":
        with pytest.raises(TemplateBoundError, match="chosen only when it runs"):
            asked(sizes.check_format, template, ("a", 9), {})
    else:
        size = asked(sizes.check_format, template, ("abc",), {})
        assert size >= len(template.format("abc"))


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (lambda: asked(sizes.check_printf, "%100001d", 5), "100,001 characters wide"),
        (lambda: asked(sizes.check_printf, "%*d", (-(10**6), 5)), "1,000,000 characters wide"),
        (lambda: asked(sizes.check_format, "{:100001}", ("a",), {}), "100,001 characters wide"),
        (lambda: asked(sizes.check_binary, "**", 10, 10_000), "to a power of some 40,000 bits"),
        (lambda: sizes.check_round(-401), "rounds to -401 places, at most 400"),
        (lambda: method("a", "fromkeys"), "calls 'fromkeys', which no prompt needs"),
        (lambda: method("a" * 9000, "rsplit", "b" * 9000), "compares each with each"),
    ],
)
def test_what_no_prompt_needs_is_refused(check: Any, says: str) -> None:
    with pytest.raises(TemplateBoundError, match=says):
        check()


def test_small_powers_and_rounds_are_taken() -> None:
    asked(sizes.check_binary, "**", 2, 100)
    sizes.check_round(2)
    sizes.check_round(None)


def test_an_iterator_that_is_joined_is_read_once_and_counted() -> None:
    meter = Meter(ROOMY)
    ((items,), steps) = (sizes.check_method(meter, "-", "join", (iter("abc"),), {}), meter.steps)
    assert (items, steps) == (["a", "b", "c"], 3)
