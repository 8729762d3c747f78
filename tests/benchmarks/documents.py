"""Reports that nobody measured, for tests of what is made out of reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jsonschema
import pytest

from benchmarks.report.document import Document, Ratio, Row
from benchmarks.roofline import Roofline

SCHEMA = json.loads(resources.files("benchmarks.report").joinpath("schema.json").read_text("utf-8"))
LIMITS = Roofline(
    device="cpu",
    threads=2,
    bytes_s=2e10,
    kernel="dot",
    flops_s_by_dtype={"float32": 8e10, "bfloat16": 1e9},
)
MACHINE = {
    "processor": "Abacus <9>",
    "cores": 2,
    "threads": 2,
    "gpu": None,
    "instructions": [],
    "load_before": 0.1,
    "libraries": {},
}


def decode_row(system: str = "intramural transformers", *speeds: float, **facts: Any) -> Row:
    speeds = speeds or (100.0, 101.0, 99.0, 100.5)
    return Row(
        model="demo",
        system=system,
        case="decode 8 x 32 after 64",
        samples={
            "decode_tokens_s": list(speeds),
            "itl_ms_p50": [8000 / speed for speed in speeds],
            "itl_ms_p99": [9000 / speed for speed in speeds],
            "mbu": [speed / 400 for speed in speeds],
        },
        facts={"flops_per_byte": 2.5},
        **facts,
    )


def prefill_row(system: str = "intramural transformers", **facts: Any) -> Row:
    samples = {"prefill_tokens_s": [900.0, 950.0], "ttft_ms": [1.0, 2.0], "mfu": [0.5, 0.6]}
    return Row(
        model="demo",
        system=system,
        case="prefill 1 x 256",
        samples=samples,
        facts={"flops_per_byte": 200.0},
        **facts,
    )


def level_row(case: str, rate: float, *, attainment: float = 1.0, e2e_ms: float = 2000.0) -> Row:
    """One level of a sweep; two requests in flight for each per second, at 2 s an answer."""
    figures = {
        "requests_s": rate,
        "offered_s": rate,
        "answered_s": rate,
        "output_tokens_s": rate * 100,
        "goodput_s": rate * attainment,
        "attainment": attainment,
        "refusal_share": 0.0,
        "concurrency": rate * e2e_ms / 1e3,
        "completion_tokens": 100.0,
        "e2e_ms_mean": e2e_ms,
    }
    for stem in ("ttft", "tpot", "itl", "e2e"):
        figures |= {f"{stem}_ms_{point}": 10.0 * rate for point in ("p50", "p90", "p95", "p99")}
    return Row(
        model="demo",
        system="server",
        via="HTTP",
        case=case,
        samples={name: [value] for name, value in figures.items()},
        facts={"offered_requests_s": rate},
    )


def document(rows: Sequence[Row], kind: Any = "compare", **facts: Any) -> Document:
    return Document(
        kind=kind,
        made_at="2026-11-25T02:00:00+00:00",
        command="python -m benchmarks compare demo",
        machine=MACHINE,
        roofline=None if kind == "serving" else LIMITS,
        rows=tuple(rows),
        **facts,
    )


def compared() -> Document:
    """Two systems, two cases, a ratio and a note."""
    ratio = Ratio(
        model="demo",
        case="decode 8 x 32 after 64",
        figure="decode_tokens_s",
        system="intramural transformers",
        against="them & co",
        ratio=2.0,
        low=1.9,
        high=2.1,
    )
    rows = [
        prefill_row(),
        prefill_row("them & co", via="library"),
        decode_row(),
        decode_row("them & co", 50.0, 51.0, via="library"),
    ]
    return document(rows, ratios=(ratio,), notes=("llama.cpp: left out, <none>",))


def printed_report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The report on the last line of stdout, held to the schema."""
    report: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    jsonschema.validate(report, SCHEMA)
    return report
