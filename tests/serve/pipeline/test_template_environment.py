"""The sandbox and models/rules/templates.py, which checks templates before anything runs, agree."""

from __future__ import annotations

import datetime as dt

import pytest
from jinja2 import TemplateError

from models.rules import templates
from serve.errors import StartupError
from serve.pipeline import template_environment
from serve.pipeline.template_environment import compile_template, names_in, noting_times
from serve.pipeline.template_meter import Bounds, Meter, TemplateBoundError, metering

ONLY_IN_THE_SANDBOX = {"lipsum"}
"""A page of filler text: Jinja brings it, no prompt needs it, and the policy refuses it."""


@pytest.fixture
def sandbox():
    """The environment that ChatTemplate makes."""
    return template_environment.environment()


def test_the_lists_of_what_may_be_called_agree(sandbox):
    assert set(sandbox.globals) - ONLY_IN_THE_SANDBOX == templates.GLOBALS
    assert set(sandbox.filters) == templates.FILTERS
    assert set(sandbox.tests) == templates.TESTS


def test_the_syntax_agrees(sandbox):
    checked = templates.environment()
    for option in ("trim_blocks", "lstrip_blocks", "block_start_string", "variable_start_string"):
        assert getattr(sandbox, option) == getattr(checked, option)
    tags = [{tag for e in x.extensions.values() for tag in e.tags} for x in (sandbox, checked)]
    assert tags[0] == tags[1]


def rendered(source: str, **variables) -> str:
    with metering(Meter(Bounds.of(1000))):
        return compile_template(source).render(variables)


def test_json_is_for_prompts_and_not_for_html():
    assert rendered("{{ x | tojson }}", x={"a": "<é>"}) == '{"a": "<é>"}'


def test_a_template_can_refuse():
    with pytest.raises(TemplateError, match="no system prompt"):
        rendered("{{ raise_exception('no system prompt') }}")


def test_marks_for_training_are_their_content():
    assert rendered("a{% generation %}{{ x }}{% endgeneration %}c", x="b") == "abc"


def test_whitespace_of_a_block_s_line_is_not_the_prompt_s():
    assert rendered("{% if true %}\n  x\n  {% endif %}\n") == "  x\n"


def test_times_that_are_asked_for_are_noted():
    with noting_times() as noted:
        assert rendered("{{ strftime_now('%Y') }}") == str(dt.datetime.now().astimezone().year)
    assert noted == ["%Y"]
    rendered("{{ strftime_now('%m') }}")
    assert noted == ["%Y"]


@pytest.mark.parametrize("form", ["%999Y", "%Y" * 200])
def test_a_time_in_a_large_format_is_refused(form):
    with pytest.raises(TemplateBoundError, match="format of more than 256 characters, or too wide"):
        rendered("{{ strftime_now(form) }}", form=form)


def test_the_names_that_a_template_reads():
    source = "{% set a = 1 %}{{ a }}{{ tools }}{% for m in messages %}{{ m.role }}{% endfor %}"
    assert names_in(source) == {"tools", "messages"}


@pytest.mark.parametrize("source", ["{% if %}", "{{ x", "{{ " + "(" * 3000])
def test_what_does_not_compile_is_told(source):
    with pytest.raises(StartupError, match="chat template does not compile: "):
        compile_template(source)
