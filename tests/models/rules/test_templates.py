from __future__ import annotations

import pytest

from models.rules import templates
from tests.models.chat_templates import SHAPES


@pytest.mark.parametrize("family", SHAPES)
def test_the_shapes_that_models_are_published_with_pass(family):
    assert templates.fault(SHAPES[family]) is None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ x._private }}", "private attribute '_private'"),
        ("{{ ''['__class__'] }}", "private attribute '__class__'"),
        ("{{ x|attr('a' ~ b) }}", "chooses an attribute only when it runs"),
        ("{{ x|selectattr('a.__class__')|list }}", "private attribute"),
        ("{{ x|map(attribute=y)|list }}", "only when it runs"),
        ("{{ x|map(y)|list }}", "chooses a filter or a test only when it runs"),
        ("{{ x|select('nonesuch')|list }}", "unknown filter 'nonesuch'"),
        ("{{ x is nonesuch }}", "unknown test 'nonesuch'"),
        ("{{ __import__ }}", "names '__import__'"),
        ("{{ '__glob' ~ 'als__' }}", "'__globals__' in a text"),
        ("{% import 'a' as b %}", "another template (import)"),
        ("{{ eval('1') }}", "calls 'eval'"),
        ("\n\n{{ exec('1') }}", "(line 3)"),
        ("{{ x.pop() }}", "the sandbox is immutable"),
        ("{{ range(1, 10 ** 6) }}", "range of more than 100,000"),
        ("{{ [0] * 1000000 }}", "repeats a value 1,000,000 times"),
        ("{{ 'ab' * 60000 }}", "120,000 characters"),
        ("{{ x ** 1000 }}", "to the power 1000"),
        ("{{ 0x" + "f" * 40 + " }}", "holds a number of 160 bits"),
        ("{{ 18446744073709551615 * 18446744073709551615 * 1e308 * 2 ** 9 * 1.5 }}", None),
        ("{{ '%*d'|format(9, 9) }}", None),
        ("{{ '{:>200000}'.format(1) }}", "200000 characters wide"),
        ("{{ 'a'.ljust(200000) }}", "pads with ljust"),
        ("{{ 'a'|indent(200000) }}", "pads with indent"),
        ("{% autoescape x %}{% endautoescape %}", "HTML's escapes (autoescape) (line 1)"),
        ("{% if %}", "no Jinja that the server runs"),
        ("{{ " + "(" * 400 + ")" * 400 + " }}", "too deeply"),
    ],
)
def test_what_a_template_may_not_do(source, says):
    fault = templates.fault(source)
    assert (says is None and fault is None) or says in fault


@pytest.mark.parametrize(
    "source",
    [
        "{{ range(100) | list }}",
        "{% for i in range(messages|length) %}{{ i }}{% endfor %}",
        "{{ '-' * 80 }}",
        "{{ messages|length * 1000000 }}",
        "{{ (1 + 2) * 3 ** 4 - 5 }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1) }}",
        "{% for m in messages recursive %}{{ loop(m.children) }}{% endfor %}",
        "{% for m in messages %}{% set ns.x = ns.x ~ m.content %}{% endfor %}",
        "{{ content|replace('\n', '\\n')|replace('\"', '\\\"') }}",
        "{{ messages|map('trim')|join }}",
        "{{ messages|map(attribute='content', default='')|list }}",
        "__init__ and __class__ as plain text of the prompt",
    ],
)
def test_what_a_template_may_do(source):
    assert templates.fault(source) is None


def test_every_form_of_a_setting():
    good, bad = SHAPES["chatml"], "{{ x.__class__ }}"
    assert templates.value_fault(None) is None
    assert templates.value_fault(good) is None
    assert templates.value_fault({"default": good}) is None
    assert templates.value_fault([{"name": "default", "template": good}]) is None
    assert "private" in templates.value_fault([{"name": "x", "template": bad}])
    assert "private" in templates.value_fault({"a": good, "b": bad})
    for odd in (7, [7], [{"name": "x"}], {"x": None}):
        assert templates.value_fault(odd) == "is no text"
