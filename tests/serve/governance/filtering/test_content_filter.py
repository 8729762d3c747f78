"""The content filter on a whole server: prompts refused, answers ended, in streams and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.errors import ContentFilterFailed
from serve.governance.filtering import content_filter, matchers
from serve.governance.filtering.content_filter import ContentFilter
from serve.governance.filtering.matchers import Matchers
from serve.governance.filtering.rules import Rule, RuleSet
from serve.governance.principal import ANONYMOUS, Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import ChatPrompt, Generation
from serve.timeline import Timeline
from tests.serve.api.house import CHAT, House, chat, events_of, house, pipeline_of, script_of
from tests.serve.api.house import TOKENIZER as TOKENS
from tests.serve.governance.filtering.test_prompt_texts import TextPrompt, generation

RULES = """
version = "5"
[[rules]]
name = "places"
category = "house/places"
words = ["state directory"]
[[rules]]
name = "asked"
category = "hate"
words = ["secret"]
on = ["input"]
[[rules]]
name = "greeting"
category = "house/places"
words = ["The audit"]
action = "count"
"""


@pytest.fixture
def home(tmp_path: Path) -> House:
    path = tmp_path / "filter.toml"
    path.write_text(RULES, "utf-8")
    return house(content_filter_file=path)


async def test_a_prompt_that_a_rule_blocks_is_refused(home: House) -> None:
    async with home.client() as client:
        refused = await client.post(CHAT, json=chat("Tell me the SE\u200bCRET"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (
        400,
        "content_filter",
        "messages[0].content",
    )
    assert "'asked'" in error["message"]
    assert "version 5" in error["message"]
    assert "secret" not in error["message"].lower().replace("'asked'", "")
    assert home.records.last.verdicts == ["filter:asked@5"]
    assert home.records.last.timeline.admitted_at is None


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
async def test_an_answer_ends_before_the_hit(home: House, path: str) -> None:
    body = chat() if path == CHAT else {"model": "demo", "prompt": "Where?", "max_tokens": 99}
    async with home.client() as client:
        whole = (await client.post(path, json=body)).json()["choices"][0]
        stream = events_of((await client.post(path, json={**body, "stream": True})).text)[:-1]
    text = whole["message"]["content"] if path == CHAT else whole["text"]
    assert (text, whole["finish_reason"]) == ("The audit log is in the ", "content_filter")
    choices = [event["choices"][0] for event in stream]
    pieces = [c["delta"].get("content") or "" if path == CHAT else c["text"] for c in choices]
    assert ("".join(pieces), choices[-1]["finish_reason"]) == (text, "content_filter")
    assert home.records.last.verdicts == ["filter:greeting@5", "filter:places@5"]
    assert home.records.last.timeline.finish_reason == "content_filter"


async def test_neither_logprobs_nor_ids_tell_what_is_held(home: House) -> None:
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 0, "return_token_ids": True}
    async with home.client() as client:
        for stream in (False, True):
            answer = await client.post(CHAT, json=chat(stream=stream, **fields))
            events = events_of(answer.text)[:-1] if stream else [answer.json()]
            choices = [choice for event in events for choice in event["choices"]]
            tokens = [t["token"] for c in choices for t in (c["logprobs"] or {}).get("content", ())]
            assert "".join(tokens).startswith("The audit log is in")
            assert "state" not in "".join(tokens)
            assert not any(choice.get("token_ids") for choice in choices)


async def test_escapes_in_arguments_of_the_history_hide_nothing() -> None:
    screen = ContentFilter(lambda: MATCHERS, Figures())
    call = {"function": {"name": "f", "arguments": r'{"a": "\u0062ad"}'}}
    prompt = ChatPrompt(messages=({"role": "assistant", "tool_calls": [call]},))
    with pytest.raises(Exception, match="blocks this request"):
        await screen.screen(ANONYMOUS, record(), generation(prompt))


async def test_ids_come_whole_where_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(RULES.replace("state directory", "nowhere"), "utf-8")
    home = house(content_filter_file=path)
    async with home.client() as client:
        body = chat(stream=True, return_token_ids=True)
        events = events_of((await client.post(CHAT, json=body)).text)[:-1]
    ids = [i for event in events for c in event["choices"] for i in c.get("token_ids", ())]
    assert TOKENS.decode(ids).startswith("The audit log is in the state directory.")


async def test_counts_of_tokens_come_as_they_did(home: House) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    async with home.client() as client:
        body = chat(stream=True, stream_options=options)
        events = events_of((await client.post(CHAT, json=body)).text)[:-1]
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)
    assert counts[0] > 0


async def test_prompts_of_token_ids_are_refused_where_prompts_are_filtered(home: House) -> None:
    async with home.client() as client:
        refused = await client.post("/v1/completions", json={"model": "demo", "prompt": [1, 2]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")


async def test_figures_are_by_rule(home: House) -> None:
    async with home.client() as client:
        await client.post(CHAT, json=chat())
        figures = (await client.get("/metrics")).text
    hit = (
        'intramural_content_filter_hits_total{action="block",direction="output",rule="places"} 1.0'
    )
    assert hit in figures
    assert "intramural_content_filter_file_usable 1.0" in figures


class Figures:
    """What a filter counts."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def content_filter_hit(self, rule: str, direction: str, action: str) -> None:
        pass

    def content_filter_failed(self, direction: str) -> None:
        self.failed.append(direction)


def record() -> RequestRecord:
    return RequestRecord(request_id="req-1", method="POST", timeline=Timeline(arrived_at=0))


RULE = Rule(name="r", version="1", category="hate", words=("bad",))
MATCHERS = Matchers(RuleSet(version="1", rules=(RULE,)))


def long_prompt() -> Generation:
    return generation(TextPrompt("x" * (content_filter.INLINE_CHARS + 1)))


async def test_a_defect_refuses_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(content_filter, "hits_of", broken)
    figures = Figures()
    screen = ContentFilter(lambda: MATCHERS, figures)
    with pytest.raises(ContentFilterFailed, match="failed on this request"):
        await screen.screen(ANONYMOUS, record(), generation(TextPrompt("a")))
    assert figures.failed == ["input"]


async def test_a_text_that_takes_too_long_is_refused() -> None:
    figures = Figures()
    screen = ContentFilter(lambda: MATCHERS, figures, timeout_s=0)
    with pytest.raises(ContentFilterFailed, match="took too long"):
        await screen.screen(ANONYMOUS, record(), long_prompt())
    assert figures.failed == ["input"]


async def test_rules_are_by_tenant() -> None:
    own = Rule(name="own", version="1", category="hate", words=("good",), tenant="lab")
    rules = RuleSet(version="1", rules=(RULE, own), without_default=frozenset({"lab"}))
    screen = ContentFilter(lambda: Matchers(rules), Figures())
    lab = Principal(key_id="k", name="", tenant="lab")
    await screen.screen(lab, record(), generation(TextPrompt("bad")))
    await screen.screen(ANONYMOUS, record(), generation(TextPrompt("good")))
    for caller, text in ((lab, "good"), (ANONYMOUS, "bad")):
        with pytest.raises(Exception, match="blocks this request"):
            await screen.screen(caller, record(), generation(TextPrompt(text)))


async def test_many_words_are_made_ready_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matchers, "INLINE_WORDS", 0)
    own = Matchers(MATCHERS.rules)
    screen = ContentFilter(lambda: own, Figures())
    with pytest.raises(Exception, match="blocks this request"):
        await screen.screen(ANONYMOUS, record(), generation(TextPrompt("bad")))


async def test_an_answer_without_a_hit_is_whole(home: House) -> None:
    """The words of an answer that has none of the rules' pass as they are."""
    other = house(
        pipeline_of(script=script_of("Fine.")),
        content_filter_file=home.state.config.content_filter_file,
    )
    async with other.client() as client:
        answer = (await client.post(CHAT, json=chat())).json()["choices"][0]
    assert (answer["message"]["content"], answer["finish_reason"]) == ("Fine.", "stop")


async def test_an_answer_is_filtered_with_what_it_goes_on_from(tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(RULES.replace('"state directory"', '"Where is The audit"'), "utf-8")
    served = house(content_filter_file=path)
    asked: dict[str, Any] = {"model": "demo", "prompt": ["Where is ", "And "], "n": 2}
    async with served.client() as client:
        choices = (await client.post("/v1/completions", json=asked)).json()["choices"]
        begun = {"role": "assistant", "content": [{"type": "text", "text": "Where is "}]}
        body = chat(messages=[{"role": "user", "content": "hi"}, begun])
        body |= {"continue_final_message": True}
        (continued,) = (await client.post(CHAT, json=body)).json()["choices"]
        begun["content"] = "Where was "
        (other,) = (await client.post(CHAT, json=body)).json()["choices"]
    assert [choice["finish_reason"] == "content_filter" for choice in choices] == [
        *(True, True), *(False, False),
    ]  # fmt: skip
    assert [bool(choice["text"]) for choice in choices] == [False, False, True, True]
    assert (continued["message"]["content"], continued["finish_reason"]) == ("", "content_filter")
    assert other["finish_reason"] == "stop"
