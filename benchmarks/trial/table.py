"""A trial for people: a column for each server, then what was not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from benchmarks.trial.findings import Check, Findings, Outcome

_FIGURES = (
    ("start_s", "start, s"),
    ("ttft_s", "TTFT, s"),
    ("decode_tokens_s", "decode, tok/s"),
    ("prefill_tokens_s", "prefill, tok/s"),
    ("long_ttft_s", "TTFT of the long prompt, s"),
)
_MARKS = {
    Outcome.OK: "✓",
    Outcome.SKIPPED: "-",
    Outcome.WEAK: "~",
    Outcome.LOST: "LOST",
    Outcome.FAULT: "FAULT",
}
_SAID = 100
LEGEND = "✓ right   ~ the model does not know   LOST: its full weights do   - left out"


def table(model: str, all_found: Sequence[Findings]) -> Table:
    """A row for each check and figure, a column for each server."""
    shown = Table(box=box.SIMPLE_HEAD, title=model, caption=LEGEND)
    shown.add_column("")
    for findings in all_found:
        shown.add_column(f"{findings.engine}\n{findings.scheme}", justify="right")
    for name in dict.fromkeys(check.name for findings in all_found for check in findings.checks):
        shown.add_row(name, *(_mark(findings, name) for findings in all_found))
    shown.add_section()
    for name, heading in _FIGURES:
        shown.add_row(heading, *(_number(findings.figures.get(name)) for findings in all_found))
    return shown


def notes(all_found: Sequence[Findings]) -> Iterator[str]:
    """Refusals, quality, what is wrong, and what the model did not know."""
    for findings in all_found:
        name = f"{findings.engine} {findings.scheme}"
        if findings.refused:
            yield f"{name}: not served: {findings.refused}"
        for check in findings.checks:
            is_figure = check.name in ("quality", "same token")
            if is_figure or check.outcome not in (Outcome.OK, Outcome.SKIPPED):
                yield f"{name}: {check.name}: {_words(check)}"


def _mark(findings: Findings, name: str) -> str:
    marks = [_MARKS[check.outcome] for check in findings.checks if check.name == name]
    return marks[0] if marks else ""


def _words(check: Check) -> str:
    words = " ".join(check.said.split())
    quoted = f"said {words[:_SAID]!r}{' ...' if len(words) > _SAID else ''}" if words else ""
    mark = "" if check.outcome is Outcome.OK else str(check.outcome)
    return ", ".join(part for part in (mark, check.detail, quoted) if part)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
