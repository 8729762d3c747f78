"""What a missing program does: it skips a test, and fails a proof; none is looked for elsewhere."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from tests import conftest, programs
from tests.house.tree import ROOT


@pytest.fixture
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(programs.PACKAGES, "nonesuch", "nonesuch-light")


@pytest.mark.usefixtures("_missing")
@pytest.mark.parametrize(
    ("profile", "outcome"), [("prove", pytest.fail.Exception), ("default", pytest.skip.Exception)]
)
def test_a_missing_program_skips_a_test_and_fails_a_proof(
    profile: str, outcome: type[BaseException]
) -> None:
    item = SimpleNamespace(
        iter_markers=lambda name: (
            [programs.needs("nonesuch", "xargs").mark] * (name == "needs_programs")
        ),
        config=SimpleNamespace(getoption=lambda _: profile),
    )
    with pytest.raises(outcome, match=r"nonesuch: not installed \(apt install nonesuch-light\)"):
        conftest.pytest_runtest_setup(item)  # type: ignore[arg-type]


@programs.needs("xargs")
@pytest.mark.usefixtures("_missing")
def test_what_is_there_stops_nothing() -> None:
    programs.require(["xargs"], is_proving=True)
    assert programs.find("nonesuch") is None


def test_a_program_without_a_package_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no package of true"):
        programs.needs("true")


def test_no_test_looks_for_a_program_by_itself() -> None:
    own = re.compile(r"\bwhich\(")
    assert [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if own.search(path.read_text("utf-8"))
        and path.name not in {"programs.py", "test_programs.py"}
    ] == []
