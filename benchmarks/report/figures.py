"""The label, unit and better direction of each figure: one row for each.

Formulas and their sources stand where they are computed, in benchmarks/metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Better = Literal["more", "less", "neither"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of figure.

    Attributes:
        label: in a table's heading.
        unit: ``tok/s``, ``ms``, ``share``, ...; shares are printed in percent.
        better: the direction of an improvement.
        meaning: of docs/benchmarks.md.
    """

    label: str
    unit: str
    better: Better
    meaning: str

    def text(self, value: float) -> str:
        """A figure for people: three digits that count."""
        if self.unit == "share":
            return f"{value:.1%}"
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f}"


_PER_REQUEST = {
    "ttft": "time to first token, `first_token_at - sent_at`",
    "itl": "gap between tokens; a chunk of k tokens is one gap spread over k",
    "tpot": "`(last_token_at - first_token_at) / (completion_tokens - 1)` of each request",
    "e2e": "end to end, `finished_at - sent_at`",
}
_POINTS = ("p50", "p90", "p95", "p99", "mean")


_WINDOW = {
    "offered_s": Kind(
        "offered", "1/s", "neither", "requests really sent per second, in the steady window"
    ),
    "answered_s": Kind("answered", "1/s", "more", "whole answers per second, in the steady window"),
    "kept_share": Kind(
        "kept up", "share", "more", "answers of the steady window, of the requests sent in it"
    ),
}
"""Of the steady part of a level: benchmarks/serving/steady.py."""


def _kinds() -> Mapping[str, Kind]:
    kinds = {
        "prefill_tokens_s": Kind(
            "prefill", "tok/s", "more", "`sum(prompt_tokens) / (last first token - first asked)`"
        ),
        "mfu": Kind(
            "MFU",
            "share",
            "more",
            "prefill's floating-point operations per second, of the measured rate",
        ),
        "decode_tokens_s": Kind(
            "decode",
            "tok/s",
            "more",
            "tokens per second while all sequences decode and none prefills",
        ),
        "mbu": Kind(
            "MBU",
            "share",
            "more",
            "decode's `bytes of a step * steps per second`, of the measured bandwidth",
        ),
        "ttft_ms": Kind("TTFT", "ms", "less", "median over the batch of the time to first token"),
        "requests_s": Kind("answers", "1/s", "more", "whole answers per second"),
        "output_tokens_s": Kind(
            "output", "tok/s", "more", "`sum(completion_tokens) / duration`, tokens from `usage`"
        ),
        "total_tokens_s": Kind("total", "tok/s", "more", "the same with prompt tokens"),
        "goodput_s": Kind("goodput", "1/s", "more", "answers per second that met every target"),
        "attainment": Kind(
            "in target", "share", "more", "share of all requests that met every target"
        ),
        "refusal_share": Kind("refused", "share", "less", "share answered with 429 or 503"),
        "error_share": Kind(
            "errors", "share", "less", "share without a whole answer, refusals apart"
        ),
        "own_error_share": Kind(
            "own errors", "share", "less", "share that the load generator failed at, or gave up"
        ),
        "concurrency": Kind(
            "in flight", "", "neither", "requests in flight on average, `sum(e2e) / duration`"
        ),
        "spread_share": Kind(
            "ITL spread", "share", "neither", "share of answers whose chunks held several tokens"
        ),
        "prompt_tokens": Kind("tokens in", "", "neither", "prompt tokens of an answer, on average"),
        "completion_tokens": Kind(
            "tokens out", "", "neither", "completion tokens of an answer, on average"
        ),
    }
    kinds |= _WINDOW
    for stem, meaning in _PER_REQUEST.items():
        for point in _POINTS:
            kinds[f"{stem}_ms_{point}"] = Kind(f"{stem.upper()} {point}", "ms", "less", meaning)
    return MappingProxyType(kinds)


KINDS = _kinds()
