"""Presets: whose value goes before whose, and what is a bound."""

from __future__ import annotations

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest
from serve.governance.presets.preset_rules import (
    BUILT_IN,
    FIELDS,
    AnswerRules,
    Chosen,
    Preset,
    PresetRules,
    built_in,
    filled,
)
from serve.pipeline.events import UNBOUNDED_TOKENS, Generation, TextPrompt

SHORT, LONG = (AnswerRules(name=n, verdict=f"answer:{n}", max_chars=9) for n in ("short", "long"))
RULES = PresetRules(
    presets={
        **BUILT_IN,
        "mild": Preset(name="mild", values={"temperature": 0.1, "top_p": 0.5}, answers="long"),
        "held": Preset(name="held", values={"max_tokens": 50}, bounds=frozenset({"max_tokens"})),
    },
    answers={"short": SHORT, "long": LONG},
    tenants={"clinic": Chosen(preset="held", answers="short"), "lab": Chosen(preset="mild")},
    keys={"k9": Chosen(answers="long")},
)


def generation(**given: float) -> Generation:
    values = {"max_tokens": UNBOUNDED_TOKENS, **given}
    sampling = SamplingParams(**values)  # type: ignore[arg-type]
    return Generation(prompts=(TextPrompt("a"),), sampling=sampling, given=frozenset(given.keys()))


def sampling(wanted: str | None, of_key: str, tenant: str, **given: float) -> SamplingParams:
    return filled(generation(**given), RULES.layers(wanted, of_key, tenant)).sampling


def test_the_built_in_presets() -> None:
    values = {name: dict(preset.values) for name, preset in built_in().presets.items()}
    assert values == {
        "technical": {"temperature": 0.3, "max_tokens": 300},
        "creative": {"temperature": 0.9, "max_tokens": 500},
        "qa": {"temperature": 0.5, "max_tokens": 200},
    }


def test_the_fields_are_those_of_sampling() -> None:
    assert all(hasattr(SamplingParams(max_tokens=1), name) for name in FIELDS)


def test_the_request_then_its_preset_then_the_keys_then_the_tenants() -> None:
    assert sampling("creative", "qa", "lab", temperature=0.7).temperature == 0.7
    assert sampling("creative", "qa", "lab").temperature == 0.9
    assert sampling(None, "qa", "lab").temperature == 0.5
    assert sampling(None, "", "lab").temperature == 0.1
    assert sampling(None, "", "anyone") == generation().sampling


def test_each_field_comes_from_the_first_that_has_it() -> None:
    found = sampling("qa", "", "lab")
    assert (found.temperature, found.max_tokens, found.top_p) == (0.5, 200, 0.5)


def test_a_value_that_is_the_default_is_given_all_the_same() -> None:
    assert sampling("qa", "", "", temperature=1.0).temperature == 1.0


@pytest.mark.parametrize("wanted", [None, "creative"])
@pytest.mark.parametrize("given", [{}, {"max_tokens": 4000}, {"max_tokens": UNBOUNDED_TOKENS}])
def test_a_bound_holds_whatever_is_asked(wanted: str | None, given: dict[str, float]) -> None:
    assert sampling(wanted, "", "clinic", **given).max_tokens == 50
    assert sampling(wanted, "", "clinic", max_tokens=7).max_tokens == 7


def test_a_preset_that_there_is_not() -> None:
    with pytest.raises(InvalidRequest, match=r"Did you mean creative.*There are: creative, held"):
        RULES.layers("creativ", "", "")
    with pytest.raises(InvalidRequest, match="stored with this key"):
        RULES.layers(None, "gone", "")


def test_whose_rules_for_answers() -> None:
    assert RULES.answers_of("k9", "clinic", []) is LONG
    assert RULES.answers_of("k1", "clinic", [RULES.presets["mild"]]) is SHORT
    assert RULES.answers_of("k1", "anyone", [RULES.presets["mild"]]) is LONG
    assert RULES.answers_of("k1", "anyone", []) is None


@pytest.mark.parametrize(("asked", "held"), [({}, 40), ({"top_k": 0}, 40), ({"top_k": 9}, 9)])
def test_all_tokens_are_more_than_a_bound_of_top_k(asked: dict[str, float], held: int) -> None:
    preset = Preset(name="few", values={"top_k": 40}, bounds=frozenset({"top_k"}))
    free = Preset(name="free", values={"top_k": 0}, bounds=frozenset({"top_k"}))
    assert filled(generation(**asked), [preset, free]).sampling.top_k == held
