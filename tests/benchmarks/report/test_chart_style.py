"""Colours and frames that all charts share."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.report import chart_style


def test_ours_are_blue_and_each_system_has_a_colour_of_its_own() -> None:
    names = [*(f"intramural {n}" for n in range(6)), *(f"other {n}" for n in range(8))]
    tints = chart_style.tints(names)
    assert list(tints) == names
    assert len(set(tints.values())) == len(names)
    assert {tints[name] for name in names[:6]} <= set(chart_style.OURS)
    assert not {tints[name] for name in names[6:]} & set(chart_style.OURS)


def test_a_long_title_is_wrapped_and_a_dollar_is_no_formula() -> None:
    axes = Figure().subplots()
    axes.plot([1], [1], label="a")
    chart_style.finish(axes, "$1 and " + "more " * 30)
    title = axes.get_title(loc="left")
    assert title.startswith("$1 and ")
    assert "\n" in title
    assert max(map(len, title.splitlines())) <= chart_style._TITLE_WIDTH
    assert {text.get_fontsize() for text in axes.get_legend().get_texts()} == {chart_style.SMALL}
