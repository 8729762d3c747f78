"""The signature, and the check of it that docs/alerts.md shows to receivers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from serve.governance.alerts.signature import signature
from tests.house.tree import ROOT

SECRET = b"s" * 32
BODY = b'{"used":81}'
NOW = 1_764_500_000


def shown() -> dict[str, Any]:
    """The names that the page's Python block defines."""
    page = (ROOT / "docs/alerts.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def test_it_is_an_hmac_of_time_and_body():
    assert signature(b"key", b"{}", 1) == (
        "t=1,v1=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"
    )


@pytest.fixture(scope="module")
def is_genuine() -> Any:
    return shown()["is_genuine"]


def test_the_shown_check_takes_ours(is_genuine):
    header = signature(SECRET, BODY, NOW)
    assert is_genuine(SECRET, BODY, header, now=NOW)
    assert is_genuine(SECRET, BODY, header, now=NOW + 300)


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": b"t" * 32},
        {"body": b'{"used":82}'},
        {"now": NOW + 301},
        {"now": NOW - 301},
        {"header": signature(SECRET, BODY, NOW).replace(f"t={NOW}", f"t={NOW + 1}")},
        {"header": f"t={NOW},v1="},
        {"header": f"t={NOW}"},
        {"header": ""},
        {"header": "t=x,v1=y"},
        {"header": f"t={NOW},v1=é"},
    ],
)
def test_the_shown_check_takes_nothing_else(is_genuine, changed):
    given = {"secret": SECRET, "body": BODY, "header": signature(SECRET, BODY, NOW), "now": NOW}
    given |= changed
    now = given.pop("now")
    assert not is_genuine(*given.values(), now=now)
