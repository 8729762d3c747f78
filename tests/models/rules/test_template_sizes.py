from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.rules import template_sizes, templates
from models.rules.template_sizes import MAX_REPEAT


def fault(source: str) -> str | None:
    return template_sizes.fault(templates.environment().parse(source))


def expression(source: str) -> nodes.Node:
    """The one expression of ``{{ source }}``."""
    return templates.environment().parse("{{ " + source + " }}").body[0].nodes[0]


CONSTANTS = st.recursive(
    st.integers(-9, 1 << 20).map(str) | st.text("ab", max_size=3).map(repr) | st.just("1.5"),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "**", "~"]), inner).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=5,
)


@given(text=CONSTANTS)
def test_constants_are_folded_as_jinja_folds_them(text):
    """What passes compiles in bounded memory to the value that was computed here."""
    source = "{{ " + text + " }}"
    if templates.fault(source) is not None:
        return
    folded = template_sizes.constant(expression(text))
    try:
        rendered = ImmutableSandboxedEnvironment().from_string(source).render()
    except (TemplateError, TypeError, ZeroDivisionError, OverflowError):
        return
    assert len(rendered) <= 4 * template_sizes.MAX_REPEAT
    if folded is not None:
        assert rendered == str(folded)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-3", -3),
        ("2 ** 10", 1024),
        ("'a' * 3", "aaa"),
        ("3 * 'a'", "aaa"),
        ("'a' * -1", ""),
        ("'a' ~ 1 ~ 'b'", "a1b"),
        ("1 - 2.5", -1.5),
        ("x", None),
        ("x + 1", None),
        ("'a' * 100001", None),
        ("9 ** 999", None),
    ],
)
def test_values_of_expressions(text, value):
    assert template_sizes.constant(expression(text)) == value


@pytest.mark.parametrize(
    ("allowed", "refused", "says"),
    [
        (f"{{{{ 'a' * {MAX_REPEAT} }}}}", f"{{{{ 'a' * {MAX_REPEAT + 1} }}}}", "to 100,001 char"),
        (
            f"{{{{ [x] * {MAX_REPEAT} }}}}",
            f"{{{{ [x] * {MAX_REPEAT + 1} }}}}",
            "value 100,001 times",
        ),
        ("{{ range(100000) }}", "{{ range(100001) }}", "range of more than 100,000"),
        ("{{ range(0, 200000, 2) }}", "{{ range(0, 200001, 2) }}", "range of more than"),
        ("{{ range(5, 0) }}", "{{ range(100001, 0, -1) }}", "range of more than"),
        ("{{ x.ljust(100000) }}", "{{ x.ljust(100001) }}", "pads with ljust to 100,001"),
        ("{{ '%100000d' }}", "{{ '%100001d' }}", "100001 characters wide"),
        ("{{ '{:>100000}' }}", "{{ '{:>100001}' }}", "100001 characters wide"),
        ("{{ 2 ** 32 }}", "{{ 2 ** 33 }}", "raises 2 to the power 33"),
        ("{{ x ** 64 }}", "{{ x ** 65 }}", "raises a number to the power 65"),
        ("{{ 18446744073709551615 }}", "{{ 18446744073709551616 }}", "a number of 65 bits"),
    ],
)
def test_each_bound_holds_to_the_last_one(allowed, refused, says):
    assert fault(allowed) is None
    assert says in fault(refused)


def test_nested_loops_multiply_and_those_over_something_unknown_count_twice():
    loop = "{{% for i in range({}) %}}{}{{% endfor %}}"
    assert fault(loop.format(300, loop.format(300, ""))) is None
    assert "runs a loop 160,000 times, at most 100,000 (line 1)" in fault(
        loop.format(400, loop.format(400, ""))
    )
    unknown = "{% for m in messages %}" + loop.format(60_000, "") + "{% endfor %}"
    assert "120,000 times" in fault(unknown)


def test_a_chain_of_replacements_multiplies_its_growth():
    once = "|replace('a', '" + "a" * 100 + "')"
    assert fault("{{ x" + once * 2 + " }}") is None
    assert "lengthens a text 1,000,000 times" in fault("{{ x" + once * 3 + " }}")
    assert "lengthens" in fault("{{ x" + ".replace('a', '" + "a" * 10_001 + "') }}")


def test_doubling_is_refused_in_a_loop_alone():
    double = "{% set ns.x = ns.x ~ 'a' ~ ns.x %}"
    assert fault(double) is None
    assert "doubles 'ns.x' in a loop" in fault("{% for m in messages %}" + double + "{% endfor %}")
    once = "{% for m in messages %}{% set ns.x = ns.x ~ m.x %}{% endfor %}"
    assert fault(once) is None


def test_a_number_times_a_number_repeats_nothing():
    assert fault("{{ messages|length * 1000000 }}") is None
    assert "repeats a value" in fault("{{ messages * 1000000 }}")


def test_a_step_of_nothing_is_jinjas_to_refuse():
    assert fault("{{ range(1, 9, 0) }}") is None
