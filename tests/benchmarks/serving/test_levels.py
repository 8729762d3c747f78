"""From traces to rows."""

from __future__ import annotations

from benchmarks.metrics.request import Targets
from benchmarks.report.figures import KINDS
from benchmarks.serving import levels
from benchmarks.serving.load import Level
from benchmarks.serving.steady import steady
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace

CLIENT = ClientLoad(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


def test_a_row_has_what_was_offered_and_how_the_client_did() -> None:
    rounds = [{"requests_s": 4.0, "ttft_ms_p50": 9.0}, {"requests_s": 0.0}]
    open_loop = levels.row("m", "s", Level(count=8, rate=4.0), rounds, CLIENT)
    assert open_loop.samples == {"requests_s": [4.0, 0.0], "ttft_ms_p50": [9.0]}
    assert open_loop.facts["offered_requests_s"] == 4.0
    assert open_loop.facts["client_is_bottleneck"] == 0.0
    closed = levels.row("m", "s", Level(count=8, concurrency=2), rounds, CLIENT)
    assert closed.facts["offered_concurrency"] == 2.0
    assert "offered_requests_s" not in closed.facts


def test_figures_of_a_round_are_named_as_reports_name_them() -> None:
    found = levels.figures([trace(0.0, 1.0, 2.0, prompt_tokens=6)], Targets(ttft_s=0.5))
    assert set(found) <= set(KINDS)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (6, 2)
    assert (found["requests_s"], found["goodput_s"]) == (0.5, 0.0)
    assert "answered_s" not in found, "one request has no steady window"


def test_an_open_level_says_whether_it_was_kept_up_with() -> None:
    even = [trace(float(at), at + 0.5, at + 1.0) for at in range(40)]
    assert levels.figures(even, Targets())["kept_share"] == 1.0
    assert "kept_share" not in levels.figures(even, Targets(), concurrency=1)
    judged = levels.judgement([steady(even)], is_long=True)
    assert (judged["is_saturated"], judged["is_long"]) == (0.0, 1.0)
    piled = [trace(float(at), 2.0 * at + 0.5, 2.0 * at + 1.0) for at in range(40)]
    assert levels.judgement([steady(piled), steady(piled)], is_long=True)["is_saturated"] == 1.0
    assert levels.judgement([None], is_long=False) == {"is_long": 0.0}


def test_a_round_without_an_answer_has_no_times() -> None:
    refused = Trace(sent_at=0.0, finished_at=1.0, status=503, error="busy")
    found = levels.figures([refused], Targets())
    assert found["refusal_share"] == 1.0
    assert not [name for name in found if "_ms_" in name or name.endswith("_tokens")]
