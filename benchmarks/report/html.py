"""A report as one HTML file: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from benchmarks import machine
from benchmarks.report.document import Document, Ratio, Row
from benchmarks.report.figures import KINDS
from benchmarks.report.table import cell, groups, shown
from models.progress import size

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-size: 14px }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #222; vertical-align: bottom }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tr.first td { border-top: 2px solid #bbb }
.ours { font-weight: 600; color: #0b3d91 }
.charts { display: flex; flex-wrap: wrap; gap: 1rem } .charts figure { margin: 0 }
.charts svg { width: 550px; height: auto }
code { background: #f3f3f3; padding: .1rem .3rem } .notes { color: #8a4b00 }
footer { color: #666; margin-top: 3rem; font-size: 13px }
"""


def page(document: Document, pictures: Sequence[tuple[str, str]]) -> str:
    """The whole file; ``pictures`` are titles and SVGs."""
    return "\n".join(_parts(document, pictures)) + "\n"


def _parts(document: Document, pictures: Sequence[tuple[str, str]]) -> Iterator[str]:
    title = f"{document.kind} benchmark, {document.made_at}"
    yield '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">'
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>"
    yield f"<h1>{escape(title)}</h1>"
    yield f"<p>{escape(machine.in_words(document.machine))}</p>"
    yield f"<p><code>{escape(document.command)}</code></p>"
    if document.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in document.notes)
        yield f'<ul class="notes">{items}</ul>'
    yield '<div class="charts">'
    for name, picture in pictures:
        yield f"<figure aria-label={_quoted(name)}>{picture}</figure>"
    yield "</div>"
    if document.roofline is not None:
        yield "<h2>What the machine can do</h2>"
        yield _limits(document)
    for name, rows in groups(document.rows):
        first = next(iter(rows[0].samples), None)
        what = "" if first is None or document.kind == "serving" else f": {KINDS[first].label}"
        yield f"<h2>{escape(name)}{what}</h2>"
        yield _table(rows)
    if document.ratios:
        yield "<h2>Ratios, paired by round</h2><p>Above 1 favours the first; 95 % intervals.</p>"
        yield _ratios(document.ratios)
    yield "<h2>What the figures mean</h2>"
    yield _meanings(document.rows)
    yield f"<h2>The machine</h2>{_facts(document.machine)}"
    if document.settings:
        yield f"<h2>Settings</h2>{_facts(document.settings)}"
    yield "<footer>Medians over the rounds; ± is half the distance from least to most.</footer>"
    yield "</html>"


def _limits(document: Document) -> str:
    roofline = document.roofline
    if roofline is None:
        return ""
    rows = [(f"memory, reading ({roofline.kernel})", f"{size(roofline.bytes_s)}/s")]
    rows += [
        (f"matrix products, {dtype}", f"{rate / 1e9:,.1f} Gflop/s")
        for dtype, rate in roofline.flops_s_by_dtype.items()
    ]
    return _grid(("measured", ""), rows)


def _table(rows: Sequence[Row]) -> str:
    figures = shown(rows)
    heads = ["case", "system", "via", *(_heading(name) for name in figures)]
    lines, before = [], None
    for row in rows:
        kind = ' class="ours"' if row.name.startswith("intramural") else ""
        first = ' class="first"' if row.case != before else ""
        cells = "".join(f'<td class="n">{escape(cell(row, name))}</td>' for name in figures)
        case = escape(row.case) if row.case != before else ""
        lines.append(
            f"<tr{first}><td>{case}</td><td{kind}>{escape(row.name)}</td>"
            f"<td>{escape(row.via)}</td>{cells}</tr>"
        )
        before = row.case
    head = "".join(
        f'<th class="{"n" if at > 2 else ""}">{escape(text)}</th>' for at, text in enumerate(heads)
    )
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _heading(figure: str) -> str:
    kind = KINDS[figure]
    return f"{kind.label}, {kind.unit}" if kind.unit not in ("", "share") else kind.label


def _ratios(ratios: Sequence[Ratio]) -> str:
    rows = [
        (
            ratio.model,
            ratio.case,
            ratio.system,
            ratio.against,
            f"{ratio.ratio:.2f}",
            "-" if ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}",
        )
        for ratio in ratios
    ]
    return _grid(("model", "case", "first", "against", "ratio", "95 %"), rows)


def _meanings(rows: Sequence[Row]) -> str:
    named = dict.fromkeys(name for row in rows for name in row.samples)
    texts = {KINDS[name].label: KINDS[name].meaning for name in named}
    return _grid(("figure", "meaning"), list(texts.items()))


def _facts(facts: Mapping[str, object]) -> str:
    return _grid(("", ""), [(name.replace("_", " "), str(value)) for name, value in facts.items()])


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{lines}</table>"


def _quoted(text: str) -> str:
    return f'"{escape(text, quote=True)}"'
