"""A wrong Python is named by each of our commands, whatever else it lacks."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.house.tree import PACKAGES, ROOT


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 14, 0)])
def test_it_is_told_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "models" / "__init__.py"))
    assert f"this is Python {version[0]}.{version[1]} ({sys.executable})" in str(end.value.code)
    assert "needs 3.11, 3.12 or 3.13" in str(end.value.code)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_of_others_is_imported_before(package: str) -> None:
    text = (ROOT / package / "__init__.py").read_text()
    starts = (ROOT / package / "__main__.py").read_text()
    assert (
        "import models" in text
        or package == "models"
        or (package == "serve" and starts.index("from models") < starts.index("from serve"))
    )
