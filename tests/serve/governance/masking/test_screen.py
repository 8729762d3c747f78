"""Masking in the life of a request: the model, the trail and the caller see each their own."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest, MaskingFailed
from serve.governance.masking import prompts, screen
from serve.governance.masking.edges import ContinuedStream
from serve.governance.masking.masking_file import parse_rules
from serve.governance.masking.screen import MaskedRequest, MaskingScreen
from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import RequestRecord
from serve.pipeline.events import (
    Channel,
    ChoiceEvent,
    Finished,
    Generation,
    TextDelta,
    TextPrompt,
    ToolCallDelta,
)
from serve.service.directory import Weights
from serve.timeline import Timeline
from tests.serve.api.house import CHAT, House, chat, house, pipeline_of, script_of
from tests.serve.service.callers import Trail, in_process, service_of

MAIL, PHONE = "ann@example.com", "13800138000"
ANN = Principal(key_id="k", name="ci", tenant="ward")
RULES = """
version = "7"
[default]
pseudonymise = ["email"]
mask = ["mobile_phone"]
count = ["plate"]
block = ["us_ssn"]
[tenants.open]
off = ["email", "mobile_phone", "plate", "us_ssn"]
[tenants.asks]
where = "prompts"
"""


def record() -> RequestRecord:
    return RequestRecord(request_id="r", method="POST", timeline=Timeline(arrived_at=0.0))


def asked(text: str, **options: Any) -> Generation:
    sampling = options.pop("sampling", SamplingParams(max_tokens=1))
    return Generation(prompts=(TextPrompt(text),), sampling=sampling, **options)


async def screened(
    text: str, of: RequestRecord | None = None, tenant: str = "ward", **options: Any
) -> Screened:
    rules = parse_rules(RULES)
    own = MaskingScreen(lambda: rules)
    who = replace(ANN, tenant=tenant)
    return await own.screen(who, of or record(), asked(text, **options))


def passed(
    through: Screened, events: Sequence[ChoiceEvent], *, index: int = 0
) -> tuple[list[ChoiceEvent], list[ChoiceEvent]]:
    """Events as the trail has them, and as the caller has them."""
    stages = through.stages(index)
    last = through.last_stages(index) if through.last_stages else []
    trail: list[ChoiceEvent] = []
    caller: list[ChoiceEvent] = []
    for event in events:
        told: Sequence[ChoiceEvent] = [event]
        for stage in stages:
            told = stage.feed(told)
        trail += told
        for each in told:
            released: Sequence[ChoiceEvent] = [each]
            for stage in last:
                released = stage.feed(released)
            caller += released
    return trail, caller


def text_of(events: Sequence[ChoiceEvent], channel: Channel = "content") -> str:
    return "".join(
        each.text for each in events if isinstance(each, TextDelta) and each.channel == channel
    )


def arguments_of(events: Sequence[ChoiceEvent]) -> str:
    return "".join(each.arguments for each in events if isinstance(each, ToolCallDelta))


def deltas(text: str, channel: Channel = "content") -> list[ChoiceEvent]:
    return [TextDelta(index=0, text=letter, channel=channel) for letter in text]


END = Finished(index=0, reason="stop")


async def test_pseudonyms_are_restored_for_the_caller_alone() -> None:
    through = await screened(f"write to {MAIL}")
    assert through.generation.prompts == (TextPrompt("write to <EMAIL_1>"),)
    call = '{"to": "<EMAIL_1>", "cc": "bob@example.com", "tel": 13800138000}'
    events = [
        *deltas("for <EMAIL_1>", "reasoning"),
        *deltas(f"dear <EMAIL_1>, not <EMAIL_9>, tel {PHONE}, bob@example.com."),
        ToolCallDelta(index=0, call=0, call_id="c", name="mail"),
        *(ToolCallDelta(index=0, call=0, arguments=letter) for letter in call),
        END,
    ]
    trail, caller = passed(through, events)
    assert text_of(trail, "reasoning") == "for <EMAIL_1>"
    assert text_of(caller, "reasoning") == f"for {MAIL}"
    assert text_of(trail) == "dear <EMAIL_1>, not <EMAIL_9>, tel [PHONE], <EMAIL_2>."
    assert text_of(caller) == f"dear {MAIL}, not <EMAIL_9>, tel [PHONE], bob@example.com."
    assert json.loads(arguments_of(trail)) == {
        "to": "<EMAIL_1>", "cc": "<EMAIL_2>", "tel": "[PHONE]",
    }  # fmt: skip
    assert json.loads(arguments_of(caller)) == {
        "to": MAIL, "cc": "bob@example.com", "tel": "[PHONE]",
    }  # fmt: skip


async def test_another_request_restores_nothing_of_this_one() -> None:
    await screened(f"write to {MAIL}")
    other = await screened("write to <EMAIL_1>", tenant="other")
    _, caller = passed(other, [*deltas("dear <EMAIL_1>"), END])
    assert text_of(caller) == "dear <EMAIL_1>"


async def test_a_word_that_the_model_made_up_is_never_given_a_meaning() -> None:
    through = await screened("hello")
    trail, caller = passed(through, [*deltas("<EMAIL_1> bob@example.com <EMAIL_1>"), END])
    assert text_of(trail) == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"
    assert text_of(caller) == "<EMAIL_1> bob@example.com <EMAIL_1>"


async def test_choices_number_what_they_add_by_themselves() -> None:
    through = await screened(f"write to {MAIL}", n=2)
    for index, mail in ((0, "x@example.com"), (1, "y@example.com")):
        events = [TextDelta(index=index, text=mail), Finished(index=index, reason="stop")]
        trail, caller = passed(through, events, index=index)
        assert (text_of(trail), text_of(caller)) == ("<EMAIL_2>", mail)


async def test_a_blocked_answer_ends_before_its_data() -> None:
    of = record()
    trail, _ = passed(await screened("hi", of), [*deltas("it is 123-45-6789!"), END])
    assert text_of(trail) == "it is "
    assert trail[-1] == Finished(index=0, reason="content_filter")
    assert of.verdicts == ["masking:us_ssn@7"]


async def test_verdicts_name_rule_and_version_once() -> None:
    of = record()
    text = f"{PHONE} {PHONE} 京A12345"
    through = await screened(text, of)
    assert through.generation.prompts == (TextPrompt("[PHONE] [PHONE] 京A12345"),)
    assert sorted(of.verdicts) == ["masking:mobile_phone@7", "masking:plate@7"]


async def test_tenants_have_rules_of_their_own() -> None:
    through = await screened(MAIL, tenant="open")
    assert through == Screened(generation=asked(MAIL))
    through = await screened(MAIL, tenant="asks")
    trail, caller = passed(through, [*deltas(f"<EMAIL_1> {PHONE}"), END])
    assert (text_of(trail), text_of(caller)) == (f"<EMAIL_1> {PHONE}", f"{MAIL} {PHONE}")


async def test_answers_that_may_get_pseudonyms_are_kept_for_nobody_else() -> None:
    assert not (await screened("hi")).is_reproducible
    assert (await screened("hi", tenant="open")).is_reproducible
    assert (await screened("hi", tenant="asks")).is_reproducible  # by its prompt's alone
    one, other = (parse_rules(f'version = "1"\n[default]\nmask = ["{n}"]') for n in ("ip", "email"))
    names = []
    for rules in (one, other):
        own = await MaskingScreen(lambda rules=rules: rules).screen(ANN, record(), asked("hi"))
        assert own.is_reproducible
        names.append(own.rules)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("logprobs", {"sampling": SamplingParams(max_tokens=1, num_logprobs=1)}),
        ("prompt_logprobs", {"sampling": SamplingParams(max_tokens=1, num_prompt_logprobs=1)}),
        ("return_token_ids", {"wants_token_ids": True, "shows_token_ids": True}),
    ],
)
async def test_what_tells_of_tokens_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="answers are masked") as error:
        await screened("hi", **options)
    assert error.value.param == name
    await screened("hi", tenant="asks", **options)


async def test_log_probabilities_are_refused_where_pseudonyms_are_restored() -> None:
    """Places in the text, as echo has them, and the tokens would be those of another text."""
    options: dict[str, Any] = {
        "sampling": SamplingParams(max_tokens=1, num_logprobs=1),
        "echoes": True,
    }
    with pytest.raises(InvalidRequest, match="pseudonyms stand") as error:
        await screened(f"write to {MAIL}", tenant="asks", **options)
    assert error.value.param == "logprobs"
    assert MAIL not in error.value.message
    await screened(f"a label alone {PHONE}", tenant="asks", **options)
    await screened(f"write to {MAIL}", tenant="asks", echoes=True)


async def test_an_echo_s_tokens_and_places_are_those_of_the_masked_prompt() -> None:
    served = serving("so", RULES.replace("[default]", '[default]\nwhere = "prompts"'))
    asked = {"model": "demo", "prompt": f"call {PHONE} now", "echo": True, "logprobs": 0}
    async with served.client() as client:
        choice = (await client.post("/v1/completions", json=asked)).json()["choices"][0]
        refused = await client.post("/v1/completions", json=asked | {"prompt": MAIL})
    assert choice["text"].startswith("call [PHONE] now")
    told = choice["logprobs"]
    assert "".join(told["tokens"]).startswith("call [PHONE] now")
    *places, (at_end, _) = zip(told["text_offset"], told["tokens"], strict=True)
    assert at_end == len(choice["text"])  # the token that ended it, which has no text
    for offset, token in places:
        assert choice["text"].startswith(token, offset), (token, offset)
    assert refused.status_code == 400


async def test_a_prompt_that_cannot_be_masked_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ValueError(MAIL)

    monkeypatch.setattr(prompts.MaskedPrompts, "_text", fails)
    rules, failed = parse_rules(RULES), []
    own = MaskingScreen(lambda: rules, on_failure=failed.append)
    with caplog.at_level(logging.ERROR), pytest.raises(MaskingFailed) as error:
        await own.screen(ANN, record(), asked(MAIL))
    assert failed == ["prompts"]
    assert MAIL not in error.value.message + caplog.records[0].getMessage()


async def test_an_answer_that_cannot_be_masked_ends_in_an_error_that_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise ValueError(MAIL)

    rules, failed = parse_rules(RULES), []
    own = MaskingScreen(lambda: rules, on_failure=failed.append)
    through = await own.screen(ANN, record(), asked("hi"))
    monkeypatch.setattr(ContinuedStream, "feed", fails)
    trail, _ = passed(through, [*deltas("a"), END][:1])
    assert [each.reason for each in trail if isinstance(each, Finished)] == ["error"]
    assert failed == ["answers"]


async def test_a_long_prompt_is_masked_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "INLINE_CHARS", 10)
    through = await screened(f"write to {MAIL}")
    assert through.generation.prompts == (TextPrompt("write to <EMAIL_1>"),)


async def test_a_prompt_does_not_wait_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "INLINE_CHARS", 10)
    is_over, may_end = threading.Event(), threading.Event()
    whole = MaskedRequest.screened

    def slow(self: MaskedRequest, generation: Generation) -> Screened:
        if generation.prompts == (TextPrompt("x" * 70_000),):
            may_end.wait(20)
            is_over.set()
        return whole(self, generation)

    monkeypatch.setattr(MaskedRequest, "screened", slow)
    large = asyncio.create_task(screened("x" * 70_000))
    await asyncio.sleep(0)
    await screened(f"write to {MAIL}")
    assert not is_over.is_set()
    may_end.set()
    await large


def serving(script: str, rules: str = RULES) -> House:
    served = house(pipeline_of(script=script_of(script)))
    parsed = parse_rules(rules)
    served.service._screen = MaskingScreen(lambda: parsed, served.metrics.masking_hit)
    return served


async def test_over_http_whole_and_streamed() -> None:
    served = serving(f"Dear <EMAIL_1>, {PHONE}.")
    body = chat(messages=[{"role": "user", "content": f"I am {MAIL}"}])
    async with served.client() as client:
        answer = (await client.post(CHAT, json=body)).json()
        assert answer["choices"][0]["message"]["content"] == f"Dear {MAIL}, [PHONE]."
        streamed = await client.post(CHAT, json=body | {"stream": True})
        pieces = [
            json.loads(line[6:])["choices"]
            for line in streamed.text.splitlines()
            if line.startswith("data: {")
        ]
        text = "".join(c["delta"].get("content") or "" for each in pieces for c in each)
        assert text == f"Dear {MAIL}, [PHONE]."
        refused = await client.post(
            CHAT, json=chat(messages=[{"role": "user", "content": "123-45-6789"}])
        )
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("personal_data_blocked", "messages[0].content")
    shown = served.metrics.render()[0].decode()
    assert 'masking_hits_total{action="pseudonymise",rule="email",side="prompts"} 2.0' in shown
    assert MAIL not in shown


async def test_the_trail_has_pseudonyms_and_the_caller_what_they_stand_for() -> None:
    trail = Trail(wants_events=True)
    parsed = parse_rules(RULES)
    service, _ = service_of(ANN, audit=trail, screen=MaskingScreen(lambda: parsed))
    service.directory.publish(pipeline_of(script=script_of("Dear <EMAIL_1>!")), Weights())
    body = chat(messages=[{"role": "user", "content": f"I am {MAIL}"}])
    assert await in_process(service, body) == f"Dear {MAIL}!"
    told = "".join(line.removeprefix("text ") for line in trail.lines if line.startswith("text"))
    assert told == "Dear <EMAIL_1>!"


async def test_an_answer_is_masked_with_what_it_goes_on_from() -> None:
    """Choices by their prompts: two of each."""
    texts = (TextPrompt("call 1380013"), TextPrompt("call "))
    asked_twice = replace(asked(""), prompts=texts, n=2)
    rules = parse_rules(RULES)
    through = await MaskingScreen(lambda: rules).screen(ANN, record(), asked_twice)
    told = []
    for index in range(4):
        events = [TextDelta(index=index, text="8000 now"), Finished(index=index, reason="stop")]
        told.append(text_of(passed(through, events, index=index)[1]))
    assert told == ["[PHONE] now", "[PHONE] now", "8000 now", "8000 now"]


async def test_a_pseudonym_across_an_edge_stands_for_its_part_alone() -> None:
    through = await screened("write to ann@exam")
    trail, caller = passed(through, [*deltas("ple.com, not bob@example.com"), END])
    assert text_of(trail) == "<EMAIL_1>, not <EMAIL_2>"
    assert text_of(caller) == "ple.com, not bob@example.com"
