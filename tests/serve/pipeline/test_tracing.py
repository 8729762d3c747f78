"""Every filter, operator and way of a template: the text of the reference, and who wrote it."""

# ruff: noqa: E501 - templates stand in a line each
from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serve.pipeline.template import ChatTemplate
from serve.pipeline.traced_text import mask_of, of_client
from serve.pipeline.tracing import trace

# Clients write with small letters up to m and digits, templates with n to z and brackets.
FOLLOWED = {
    "added": "{{ '<n>' + c + 'z' }}{{ c + d + '<n>' }}",
    "tilde": "{{ '<n>' ~ c ~ 'z' ~ [] ~ '<' }}{{ '' ~ c }}",
    "times": "{{ c * 2 }}{{ 3 * (c + '<') }}{{ ([c, '>'] * 2) | join }}",
    "percent": "{{ '<%s>%s%%' % (c, 'n') }}{{ '%(x)s<' % {'x': c} }}{{ '%s>' % c }}",
    "format": "{{ '<{}>{}'.format(c, 'n') }}{{ '{0}{0}<{x}>{{'.format(c, x=d) }}",
    "format_map": "{{ '<{x}>'.format_map({'x': c}) }}",
    "format filter": "{{ '<%s>%s' | format(c, 'z') }}{{ '<%(x)s>' | format(x=c) }}",
    "join": "{{ [c, '<', d] | join('>') }}{{ '<>'.join([c, d]) }}{{ ['<', '>'] | join(c) }}",
    "join, attribute": "{{ [{'x': c}, {'x': '<'}] | join('>', attribute='x') }}",
    "slices": "{{ (c ~ '<>' ~ d)[1:] }}{{ (c ~ '<>')[::-1] }}{{ (c ~ '<')[-1] }}",
    "characters": "{% for x in c ~ '<>' %}{{ x }}>{% endfor %}{{ (c ~ '<') | list | join('z') }}",
    "split": "{% for x in (c ~ '<n>' ~ d).split('n') %}{{ x }}z{% endfor %}",
    "strip": "{{ (' ' ~ c ~ '< ') | trim }}{{ ('<' ~ c).lstrip('<') }}{{ (c ~ '>').rstrip('>') }}",
    "case": "{{ ('<n>' ~ c) | upper | lower | title | capitalize }}",
    "replace": "{{ ('<n>' ~ c) | replace('n', 'z') | replace('<', d) }}{{ 'n'.replace('n', c) }}",
    "truncate": "{{ (c ~ '<n z n z>') | truncate(6, true, '>') }}{{ c | truncate(4) }}",
    "center": "{{ ('<' ~ c ~ '>') | center(20) }}{{ (c ~ '>').ljust(9, '<') }}{{ 'n'.center(9, '<') }}",
    "indent": "{{ ('<\\n' ~ c ~ '\\n\\n>') | indent(2) }}{{ (c ~ '\\n<') | indent('>', true, true) }}",
    "reverse": "{{ (c ~ '<') | reverse }}{{ [c, '<'] | reverse | join }}",
    "default": "{{ x | default('<') }}{{ x | default(c) }}{{ '' | d('<n>', true) }}",
    "choice": "{{ [c, '<'] | first }}{{ ['<', c] | last }}{{ ['<', c] | sort | join }}",
    "map": "{{ ['<n>', c] | map('upper') | join }}{{ [{'x': c}] | map(attribute='x') | first }}",
    "select": "{{ ['<', c] | select | join }}{{ [{'x': c}] | selectattr('x') | map('attr', 'y') | join }}",
    "group": "{% for k, v in [{'x': c}, {'x': '<'}] | groupby('x') %}{{ k }}>{% endfor %}",
    "batch": "{% for b in [c, '<', d] | batch(2, '>') %}{{ b | join }}{% endfor %}",
    "slice": "{% for b in [c, '<', d] | slice(2) %}{{ b | join }}{% endfor %}",
    "items": "{% for k, v in m.items() %}{{ k }}<{{ v[0] }}>{% endfor %}{{ (m | items | first)[0] }}{{ m.get('b', '>')[0] }}{{ m.get('-', '>') }}",
    "dictsort": "{% for k, v in m | dictsort %}{{ k }}<{{ v[0] }}>{% endfor %}",
    "unique": "{{ [c, '<', c] | unique | join }}{{ [c, d] | min }}{{ [c, d] | max }}",
    "set": "{% set x %}<{{ c }}>{% endset %}{{ x }}{{ x ~ '<' }}",
    "filter block": "{% filter upper %}<n>{{ c }}{% endfilter %}",
    "macro": "{% macro w(x, y='<') %}{{ y }}{{ x }}>{% endmacro %}{{ w(c) }}{{ w('n', c) }}{{ w(c) | upper }}",
    "macro of ours": "{% macro w(x) %}<n>{% endmacro %}{{ w(c) }}",
    "call": "{% macro w() %}<{{ caller(c) }}>{% endmacro %}{% call(x) w() %}n{{ x }}{% endcall %}",
    "namespace": "{% set n = namespace(x='<') %}{% for _ in [1, 2] %}{% set n.x = n.x ~ c %}{% endfor %}{{ n.x }}",
    "cycle": "{% for x in [1, 2] %}{{ loop.cycle('<', c) }}{% endfor %}{% set j = joiner(c) %}{{ j() }}<{{ j() }}",
    "recursion": "{% for x in [['n', [['z', []]]]] recursive %}<{{ c }}{{ loop(x[1]) }}>{% endfor %}",
    "condition": "{{ '<n>' if 'a' in c else '<z>' }}{{ c if c else '<' }}{% if c == 'a' %}<n>{% endif %}",
    "generation": "{% generation %}<n>{{ c }}{% endgeneration %}",
    "block": "{% block b %}<{{ c }}>{% endblock %}{{ self.b() }}",
    "string": "{{ (c ~ '<') | string }}{{ 1 | string }}<{{ c | length }}>",
    "safe": "{{ '<n>' | safe }}{{ c | safe }}{{ ('<' | safe) ~ c }}",
}
AS_A_WHOLE = {
    "json": "{{ m | tojson }}{{ c | tojson(indent=2) }}{{ [c] | tojson(ensure_ascii=true) }}",
    "shown": "{{ m }}{{ [c] }}{{ m ~ '' }}{{ m | string }}{{ m | pprint }}{{ '%s' % [c] }}{{ m.items() }}",
    "joined lists": "{{ [[c], [d]] | join }}{{ [m] | join }}",
    "escaped": "{{ c | e }}{{ c | escape }}{{ c | forceescape }}{{ c | urlencode }}{{ c | urlize }}{{ {'k': c} | xmlattr }}",
    "markup": "{{ ('n' | safe) + c }}{{ c + ('n' | safe) }}{{ ('%s' | safe) % c }}{{ ('n' | safe).join([c]) }}",
    "markup, more": "{{ ('n' | safe).replace('n', c) }}{{ ('n' | safe) | replace('n', c) }}{{ c | e | upper }}"
    "{{ ('{}' | safe).format(c) }}{{ ('%s' | safe) | format(c) }}{{ c | safe | indent }}",
    "wrapped": "{{ c | wordwrap(2) }}{{ 'n n n' | wordwrap(2, wrapstring=c) }}{{ c | striptags }}",
    "translated": "{{ c.translate({97: 'z'}) }}{{ 'n'.translate({110: c}) }}",
    "bytes": "{{ c.encode() }}{{ c.encode().decode() }}{{ c.encode().replace('a'.encode(), 'b'.encode()).decode() }}",
    "chosen by it": "{{ {c: c}[c] }}{{ {c: 'k'}[c] }}{{ {c: 'k'}.get(c) }}",
    "formats": "{{ '{:>9}{!r}'.format(c, c) }}{{ c.format(c) }}{{ (c | replace('%', '') ~ '%s') % c }}",
    "format of a list": "{{ '{0[0]}{0}'.format([c]) }}{{ '{x.y}'.format(x={'y': c}) }}{{ '%r' % c }}",
    "date": "{{ strftime_now(c) }}",
    "replaced by value": "{{ 'n' | replace('n', [c]) }}{{ [c] | upper }}{{ [c] | title }}",
}
CLIENT_TEXT = st.text("abeilm 0123\n", min_size=1, max_size=6)


@functools.cache
def compiled(source: str) -> ChatTemplate:
    return ChatTemplate(
        "{% set c, d, m = messages[0].c, messages[0].d, messages[0].m %}" + source, {}
    )


def rendered(source: str, c: str, d: str, *, traced: bool) -> str:
    message: dict[str, Any] = {"c": c, "d": d, "m": {"a" + c: d, "b": [c, {d: 1}]}}
    return compiled(source).render([of_client(message) if traced else message], [])


def sides(text: str) -> list[tuple[str, int]]:
    """The characters that one side alone writes, and who is said to have written them."""
    theirs, ours = "abeilmABEILM0123", "nz<>NZ"
    return [
        (character, mask - (character in theirs))
        for character, mask in zip(str.__str__(text), mask_of(text), strict=True)
        if character in theirs + ours
    ]


@given(c=CLIENT_TEXT, d=CLIENT_TEXT)
def test_what_is_followed_is_followed_to_the_character(c: str, d: str) -> None:
    for name, source in FOLLOWED.items():
        text = rendered(source, c, d, traced=True)
        assert str.__str__(text) == str.__str__(rendered(source, c, d, traced=False)), name
        if name != "string":  # a length is a number and nobody's
            assert not [side for side in sides(text) if side[1]], (name, text, mask_of(text))


@given(c=CLIENT_TEXT, d=CLIENT_TEXT)
def test_what_is_not_followed_is_the_clients_as_a_whole(c: str, d: str) -> None:
    for name, source in AS_A_WHOLE.items():
        text = rendered(source, c, d, traced=True)
        assert str.__str__(text) == str.__str__(rendered(source, c, d, traced=False)), name
        assert set(mask_of(text)) == {1}, (name, text, mask_of(text))


@pytest.mark.parametrize("source", [*FOLLOWED.values(), *AS_A_WHOLE.values()])
def test_the_text_is_that_of_an_environment_without_tracing(source: str) -> None:
    if "generation" in source or "tojson" in source or "strftime" in source:
        return  # our own, in both
    bare = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    message = {"c": "a<b %s", "d": "ba\nl", "m": {"x": "a", "b": "ll"}}
    expected = bare.from_string("{% set c, d, m = c, d, m %}" + source).render(**message)
    traced = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    trace(traced)
    made = traced.from_string("{% set c, d, m = c, d, m %}" + source).render(**of_client(message))
    assert str.__str__(made) == expected


def test_every_filter_is_in_one_of_the_templates() -> None:
    """A filter that a later Jinja brings must be tried, too."""
    no_text = {"abs", "count", "filesizeformat", "float", "int", "length", "random", "round", "sum"}
    no_text |= {"reject", "rejectattr", "wordcount"}
    tried = " ".join([*FOLLOWED.values(), *AS_A_WHOLE.values()])
    environment = ImmutableSandboxedEnvironment()
    assert {
        n for n in environment.filters if f"| {n}" not in tried and f"'{n}'" not in tried
    } <= no_text
