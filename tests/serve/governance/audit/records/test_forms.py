"""The forms of records: what they say, and that no text of a prompt is in any of them."""

from __future__ import annotations

import orjson

from serve.api.openai.chat import ChatCompletions
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.governance.audit.records import forms
from serve.governance.audit.records.canonical import encoded
from serve.governance.principal import ANONYMOUS, Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation, TextPrompt
from serve.timeline import Timeline
from tests.serve.api.house import chat

CANARY = "canary-4711"
CALLER = Principal(key_id="k1", name="ward 3", tenant="clinic", owner="dr-x")


def stamps() -> forms.Stamps:
    return forms.Stamps(wall=lambda: 1_800_000_000.25, clock=lambda: 12.5)


def record(**values: object) -> RequestRecord:
    fields = {"request_id": "req-1", "method": "POST", "route": "/v1/x", "model": "demo"}
    return RequestRecord(timeline=Timeline(arrived_at=1.0), **(fields | values))  # type: ignore[arg-type]


def test_a_record_has_its_type_both_clocks_and_its_process() -> None:
    told = stamps().stamped("start", a=1, b=None)
    assert told.pop("run").isalnum()
    assert told == {
        "v": 1,
        "type": "start",
        "at": "2027-01-15T08:00:00.250000Z",
        "mono_us": 12_500_000,
        "a": 1,
    }


def test_begin_tells_who_asks_what_and_how() -> None:
    asked = record(client="10.0.0.7", verdicts=["mask: cn-id v3 1"], is_stream=True)
    asked.timeline.usage.prompt_tokens = 9
    generation = Generation(
        prompts=(TextPrompt(CANARY),),
        sampling=SamplingParams(
            max_tokens=5, temperature=0.5, seed=2**60, stop_token_ids=frozenset({1, 2})
        ),
        stop=(CANARY,),
        bad_words=(CANARY,),
        best_of=3,
    )  # fmt: skip
    told = forms.begin(stamps(), CALLER, asked, generation, digest="sha256:1", content=None)
    assert told["who"] == {"key": "k1", "name": "ward 3", "tenant": "clinic", "owner": "dr-x"}
    assert told["call"] == {
        "method": "POST", "route": "/v1/x", "stream": True, "class": "interactive"
    }  # fmt: skip
    assert told["model"] == {"name": "demo", "digest": "sha256:1"}
    assert (told["client"], told["verdicts"]) == ("10.0.0.7", ["mask: cn-id v3 1"])
    assert told["params"] == {
        "n": 1,
        "max_tokens": 5,
        "temperature": "0.5",
        "seed": str(2**60),
        "stop_token_ids": 2,
        "best_of": 3,
        "stop": 1,
    }
    assert CANARY.encode() not in encoded(told)


def test_a_grammar_is_told_by_its_kind() -> None:
    grammar = Grammar(kind="regex", text=CANARY)
    generation = Generation(
        prompts=(TextPrompt(""),),
        sampling=SamplingParams(max_tokens=1, grammar=grammar, logit_bias={7: 1.0}),
        format=grammar,
    )
    told = forms.params(generation)
    assert told == {
        "n": 1, "max_tokens": 1, "grammar": "regex", "format": "regex", "logit_bias": 1
    }  # fmt: skip
    told = forms.params(ChatCompletions().parse(chat(tools=[])).generation())
    assert told == {"n": 1}, "as many tokens as fit is the default"


def test_an_end_tells_what_was_used_and_how_it_ended() -> None:
    done = record()
    done.timeline.finish_reason = "stop"
    done.timeline.submitted_at, done.timeline.first_token_at = 1.5, 2.0
    told = forms.end(stamps(), done, index=7, chunks=None, content=None)
    assert (told["outcome"], told["finish"], told["begin"]) == ("done", "stop", 7)
    assert told["ms"] == {"queue": 500, "first_token": 1000}
    assert "late" not in told
    for fields, outcome in (
        ({"error_code": "engine_dead"}, "error"),
        ({"is_disconnected": True}, "disconnected"),
        ({"is_disconnected": True, "error_code": "draining"}, "error"),
        ({}, "unknown"),
    ):
        assert forms.outcome(record(**fields)) == outcome  # type: ignore[arg-type]


def test_refusals_and_logins_repeat_nothing_that_was_sent() -> None:
    refused = record(key_id="k1", tenant="clinic", owner="dr-x", status=404, model="x" * 999)
    told = forms.refused(stamps(), refused)
    assert told["who"] == {"key": "k1", "tenant": "clinic", "owner": "dr-x"}
    assert len(told["model"]["name"]) == 256
    failed = forms.login_failed(stamps(), record(status=401, error_code="invalid_api_key"))
    assert failed.keys() >= {"id", "call", "status", "error"}
    assert "model" not in failed


def test_counts_have_a_bound() -> None:
    counts = {f"code_{number}": number for number in range(100)}
    told = forms.counted(stamps(), "refused", counts, is_lost=True)
    assert (told["count"], len(told["errors"]), told["lost"]) == (sum(range(100)), 32, True)
    assert "lost" not in forms.counted(stamps(), "refused", {"a": 1}, is_lost=False)


def test_a_subject_is_an_owner_or_a_key() -> None:
    assert forms.subject_of(CALLER) == "clinic/dr-x"
    assert forms.subject_of(ANONYMOUS) == "key:anonymous"


def test_an_act_is_somebodys() -> None:
    acted = forms.acted(stamps(), CALLER, record(key_id="k1"), "GET /admin/usage", {"query": "a"})
    assert (acted["act"], acted["details"], acted["who"]["key"]) == (
        "GET /admin/usage", {"query": "a"}, "k1"
    )  # fmt: skip
    assert forms.acted(stamps(), None, record(key_id="k1"), "token.issue", {})["who"] == {
        "key": "k1"
    }
    orjson.dumps(acted)


def test_a_call_that_ran_nothing_has_counts_and_no_model_where_it_has_none() -> None:
    told = forms.called(stamps(), ANONYMOUS, record(), 200, {"texts": 2}, digest="d")
    assert (told["status"], told["details"]) == (200, {"texts": 2})
    assert told["model"] == {"name": "demo", "digest": "d"}
    bare = forms.called(stamps(), ANONYMOUS, record(model=None), 200, {}, digest=None)
    assert not {"model", "details", "verdicts"} & bare.keys()
