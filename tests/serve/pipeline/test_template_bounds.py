"""What a template costs is bounded, whatever it does: hostile ones are told, never obeyed."""

from __future__ import annotations

import contextlib
import resource
import time

import pytest
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serve.errors import InvalidRequest, StartupError
from serve.pipeline import template_environment
from serve.pipeline.template import ChatTemplate, TooMuchInlineError
from serve.pipeline.template_meter import Bounds, Meter, TemplateBoundError, metering
from tests.models.chat_templates import SHAPES
from tests.serve.pipeline.hostile_templates import RAISING, TOO_MUCH

FEWER = Bounds(steps=50_000, value_chars=1 << 20, made_chars=1 << 23, seconds=60.0)
"""Those of a small chat, with fewer steps: `make prove` takes the real ones."""

MESSAGES = [{"role": "user", "content": "x"}]
TURNS = [{"role": role, "content": "Hello there"} for role in ("user", "assistant") * 5]


def cost(source: str, messages: list[dict[str, str]] = MESSAGES) -> Meter:
    """The meter after a rendering, which may have been stopped."""
    meter = Meter(FEWER)
    made = template_environment.compile_template(source)
    with metering(meter), contextlib.suppress(TemplateBoundError, TemplateError):
        made.render(messages=messages, add_generation_prompt=True)
    return meter


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_costs_too_much_is_refused_with_the_reason(
    name: str, is_proving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_proving:
        monkeypatch.setattr(Bounds, "of", lambda _num_chars: FEWER)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(InvalidRequest, match=r"The model's chat template [a-z]+s .*fewer") as told:
        ChatTemplate(TOO_MUCH[name], {}).render(MESSAGES, [])
    assert "refuses" not in told.value.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    if is_proving:
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("reason", RAISING)
def test_what_a_template_raises_is_a_400_that_tells_the_reason(reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        ChatTemplate(RAISING[reason], {}).render(MESSAGES, [])


def test_an_error_does_not_quote_what_python_says_of_a_text() -> None:
    with pytest.raises(InvalidRequest) as told:
        ChatTemplate("{{ messages[0].content.encode('ascii') }}", {}).render(
            [{"role": "user", "content": "geheim é"}], []
        )
    assert "geheim" not in told.value.message


@pytest.mark.parametrize("name", ["doubling ~", "loops in loops", "recursive macros"])
def test_the_cost_is_the_same_every_time(name: str) -> None:
    one, other = cost(TOO_MUCH[name]), cost(TOO_MUCH[name])
    assert (one.steps, one.made_chars) == (other.steps, other.made_chars)


@pytest.mark.parametrize("family", SHAPES)
def test_a_rendering_within_bounds_is_the_one_without(family: str) -> None:
    plain = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", template_environment._Generation],
    )
    plain.filters["tojson"] = template_environment._to_json
    plain.globals["raise_exception"] = template_environment._refuse
    plain.globals["strftime_now"] = lambda _format: "today"
    given = {"messages": TURNS, "tools": None, "bos_token": "<s>", "eos_token": "</s>"}
    counted = template_environment.environment()
    counted.globals["strftime_now"] = lambda _format: "today"
    results = []
    for environment in (plain, counted):
        try:
            results.append(environment.from_string(SHAPES[family]).render(given))
        except (TemplateError, TypeError) as error:
            results.append(str(error))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("x", 1),
        ("{% for i in range(7) %}{% endfor %}", 1 + 7 + 1),
        ("{% for i in range(7) if false %}{% endfor %}", 1 + 7 + 1),
        ("{{ 'a' | upper }}{{ 'a'.upper() }}", 1 + 1 + 1),
        ("{% macro f() %}{% endmacro %}{{ f() }}", 1 + 1 + 1),
        ("{{ range(5) | map('string') | list | length }}", 1 + 1 + 1 + 5 + 5 + 1 + 1),
    ],
)
def test_steps_are_blocks_turns_calls_and_filters(source: str, steps: int) -> None:
    assert cost(source).steps == steps


def test_an_ordinary_chat_is_far_within_the_bounds_of_the_loop() -> None:
    for family in ("chatml", "qwen3", "llama3.1", "mistral"):
        assert cost(SHAPES[family], TURNS).steps < 300


def test_on_the_loop_little_is_done_before_a_thread_takes_over() -> None:
    made = ChatTemplate(TOO_MUCH["loops in loops"], {})
    with pytest.raises(TooMuchInlineError):
        made.render(MESSAGES, [], is_inline=True)
    busy = ChatTemplate("{% for i in range(5000) %}{% endfor %}done", {})
    with pytest.raises(TooMuchInlineError):
        busy.render(MESSAGES, [], is_inline=True)
    assert busy.render(MESSAGES, []) == "done"


def test_the_bounds_grow_with_the_messages() -> None:
    source = "{% for i in range(20) %}{{ messages[0].content }}{% endfor %}"
    with pytest.raises(InvalidRequest, match="characters"):
        ChatTemplate(source.replace("20", "900"), {}).render(
            [{"role": "user", "content": "x" * 100_000}], []
        )
    for length in (10, 10_000, 300_000):
        text = "x" * length
        made = "{{ messages[0].content ~ messages[0].content | upper }}"
        assert len(ChatTemplate(made, {}).render([{"content": text}], [])) == 2 * length


def test_the_deadline_is_the_last_resort() -> None:
    now = [0.0]
    meter = Meter(Bounds(steps=10**9, value_chars=1, made_chars=1, seconds=2.0), lambda: now[0])
    meter.tick(10_000)
    now[0] = 3.0
    with pytest.raises(TemplateBoundError, match="longer than 2 seconds"):
        meter.tick(10_000)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in b %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "1" * 5000 + " }}",
        "{% autoescape true %}{{ x }}{% endautoescape %}",
        "{{ x | no_such_filter }}",
        "{% include 'x' ",
    ],
)
def test_what_does_not_compile_is_told_at_the_start(source: str) -> None:
    with pytest.raises(StartupError, match="does not compile"):
        ChatTemplate(source, {})


def test_constants_are_not_computed_when_it_is_compiled() -> None:
    ChatTemplate("{{ 'a' * 10 ** 9 }}{{ 9 ** 99999999 }}{{ 'x' | center(1000000000) }}", {})


def test_what_is_harmless_stays_possible() -> None:
    source = (
        "{{ '-' * 40 }}{{ 'a' | center(5) }}{{ '%05d' | format(7) }}{{ '{:>4}'.format(1) }}"
        "{{ [1, 2] | join(', ') }}{{ 'a\nb' | indent(2) }}{{ 2 ** 10 }}{{ 7 % 3 }}"
        "{{ [1, 2] + [3] }}{{ 'ab'.replace('a', 'c') }}{{ [[1], [2]] | sum(start=[]) }}"
        "{{ {'a': [1, {'b': 2}]} | tojson(indent=2) }}{{ 3.14159 | round(2) }}"
        "{{ 'a,b'.split(',') }}"
        "{{ [3, 1] | sort }}{{ {('a', 1): 2}[('a', 1)] }}{{ 'x' is in(['x']) }}"
        "{% for a, b in {'k': 1}.items() %}{{ a }}{{ b }}{% endfor %}{{ 'abcdef'[1:3] }}"
    )
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain.filters["tojson"] = template_environment._to_json
    assert ChatTemplate(source, {}).render(MESSAGES, []) == plain.from_string(source).render()
