"""Texts in the words of who typed `intramural`."""

from __future__ import annotations

import io

import pytest

from serve.cli.spoken import SpokenStream, spoken


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("`python -m models pull demo`", "`intramural models pull demo`"),
        ("run python -m serve --model x", "run intramural serve --model x"),
        ("python -m serve keys create", "intramural keys create"),
        ("python -m serve chat", "intramural chat"),
        ("python -m serve audit key generate FILE", "intramural audit key generate FILE"),
        (
            "python -m serve mask F; python -m serve storage x",
            "intramural mask F; intramural storage x",
        ),
        ("usage: python -m serve run MODEL", "usage: intramural run MODEL"),
        ("python -m benchmarks quality a b", "intramural bench quality a b"),
        ("anew: python -m quantize.", "anew: python -m quantize."),
        ("python -m\n  models list", "intramural\n  models list"),
        ("python -m quantize.measuring x", "python -m quantize.measuring x"),
        (".venv/bin/python -m serve", ".venv/bin/python -m serve"),
        ("python -m servers", "python -m servers"),
        ("python -m pip install x", "python -m pip install x"),
    ],
)
def test_a_command_of_ours_is_the_installed_one(text: str, told: str) -> None:
    assert spoken(text) == told


def test_a_stream_is_otherwise_the_one_that_it_was() -> None:
    stream = io.StringIO()
    said = SpokenStream(stream)
    print("see python -m models", file=said)  # type: ignore[arg-type]
    assert stream.getvalue() == "see intramural models\n"
    assert not said.isatty()
