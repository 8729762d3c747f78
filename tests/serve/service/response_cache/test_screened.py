"""Answers that rules have changed are kept while the rules stay, and under new rules made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serve.governance.filtering.content_filter import ContentFilter
from serve.governance.filtering.matchers import Matchers
from serve.governance.filtering.rules import Rule, RuleSet
from serve.governance.masking.masking_file import parse_rules
from serve.governance.masking.screen import MaskingScreen
from serve.governance.presets.preset_rules import AnswerRules, Chosen, PresetRules
from serve.governance.presets.presets import Presets
from serve.governance.principal import ANONYMOUS, Principal
from serve.governance.screening import Screen, Screened
from serve.observe.record import CACHE_HIT, RequestRecord
from serve.pipeline.events import ChoiceEvent, Generation, TextDelta
from tests.serve.api.house import chat
from tests.serve.governance.test_screening import ASKED, RECORD
from tests.serve.service.response_cache.cached_house import cache_of, cached_house
from tests.serve.service.response_cache.test_answers import GREEDY, ask, state_of


class Silent:
    """Counts nothing."""

    def __getattr__(self, _name: str) -> object:
        return lambda *_told, **_more: None


async def rules_of(screen: Screen) -> str | None:
    return (await screen.screen(ANONYMOUS, RECORD, ASKED)).rules


def a_filter(word: str) -> ContentFilter:
    rule = Rule(name="r", version="1", category="hate", words=(word,))
    own = Matchers(RuleSet(version="1", rules=(rule,), digest=word))
    return ContentFilter(lambda: own, Silent())  # type: ignore[arg-type]


def masking(action: str) -> MaskingScreen:
    rules = parse_rules(f'version = "1"\n[default]\n{action} = ["email"]\n')
    return MaskingScreen(lambda: rules)


def presets(**rules: object) -> Presets:
    answers = AnswerRules(name="a", verdict="a", digest=str(rules), **rules)  # type: ignore[arg-type]
    chosen = {ANONYMOUS.tenant: Chosen(answers="a")}
    return Presets(lambda: PresetRules(answers={"a": answers}, tenants=chosen), Silent())  # type: ignore[arg-type]


async def test_the_same_rules_have_one_name_and_others_another() -> None:
    for first, same, other in (
        (a_filter("x"), a_filter("x"), a_filter("y")),
        (masking("mask"), masking("mask"), masking("count")),
        (presets(max_chars=3), presets(max_chars=3), presets(max_chars=4)),
    ):
        named = [await rules_of(screen) for screen in (first, same, other)]
        assert named[0] == named[1] != named[2]
        assert None not in named


async def test_an_answer_that_brings_pseudonyms_is_not_kept() -> None:
    screened = await masking("pseudonymise").screen(ANONYMOUS, RECORD, ASKED)
    assert screened.rules is None
    assert not screened.is_reproducible


@dataclass
class Shouts:
    """A screen whose stage writes capitals, and a verdict."""

    rules: str | None

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        record.verdicts.append("of the prompt")

        class Capitals:
            def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
                if "of the answer" not in record.verdicts:
                    record.verdicts.append("of the answer")
                return [
                    replace(event, text=event.text.upper())
                    if isinstance(event, TextDelta)
                    else event
                    for event in events
                ]

        return Screened(generation=generation, stages=lambda _: [Capitals()], rules=self.rules)


async def test_a_hit_has_the_verdicts_of_its_answer_and_is_of_its_rules() -> None:
    home = cached_house(cache_of())
    before = home.service._screen
    try:
        states = []
        for rules in ("1", "1", "2", None, None):
            home.service._screen = Shouts(rules)
            states.append(state_of(await ask(home, chat(**GREEDY))))
        assert states == ["miss", "hit", "miss", "off", "off"]
        hit = home.records.all[1]
        assert hit.verdicts[:2] == ["of the prompt", CACHE_HIT]
        assert hit.verdicts[2:] == home.records.all[0].verdicts[1:] == ["of the answer"]
    finally:
        home.service._screen = before
