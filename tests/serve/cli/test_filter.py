"""`python -m serve filter`: rules tried on a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.cli.main import main

TEXT = "It is a ＰＩＰＥ\n bomb.\nNightjar, room 12.\n"
RULES = """
version = "3"
[[rules]]
name = "explosives"
category = "illicit"
words = ["pipe bomb"]
on = ["input"]
[[rules]]
name = "names"
category = "house/names"
words = ["nightjar"]
patterns = ["room [0-9]{1,3}"]
action = "count"
[[rules]]
name = "ward"
category = "house/ward"
words = ["room"]
tenant = "clinic"
"""


@pytest.fixture
def tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    letter, rules = tmp_path / "letter.txt", tmp_path / "filter.toml"
    letter.write_text(TEXT, "utf-8")
    rules.write_text(RULES, "utf-8")

    def run(*options: str):
        code = main(["filter", str(letter), "--content-filter-file", str(rules), *options])
        return code, *capsys.readouterr()

    return run


def test_all_hits_are_listed_and_no_text(tried) -> None:
    code, out, _ = tried()
    assert code == 1
    rows = [line.split() for line in out.splitlines()]
    assert rows[1] == ["explosives", "block", "input", "1", "9", "10"]
    assert [row[0] for row in rows[1:]] == ["explosives", "names", "names"]
    assert "bomb" not in out.lower()
    assert "Nightjar" in tried("--show")[1]


def test_a_table_has_an_end(tried, monkeypatch) -> None:
    monkeypatch.setattr("serve.cli.filter.MAX_ROWS", 2)
    assert "and 1 more" in tried()[1]
    assert len(json.loads(tried("--json")[1])["hits"]) == 3


def test_a_tenants_rules_for_answers_as_json(tried) -> None:
    code, out, _ = tried("--json", "--on", "output", "--tenant", "clinic", "--show")
    document = json.loads(out)
    assert (code, document["version"], document["blocked_by"]) == (1, "3", "ward")
    found = [(hit["rule"], hit["line"], hit["column"], hit["value"]) for hit in document["hits"]]
    assert found == [
        ("names", 3, 1, "Nightjar"),
        ("ward", 3, 11, "room"),
        ("names", 3, 11, "room 12"),
    ]
    code, out, err = tried("--json", "--on", "output", "--tenant", "lab")
    assert (code, json.loads(out)["blocked_by"]) == (0, None)
    assert "says nothing of 'lab'" in err


def test_what_cannot_be_done(tried, tmp_path, monkeypatch, capsys) -> None:
    assert tried("--on", "both")[0] == 2
    monkeypatch.chdir(tmp_path)
    assert main(["filter", "letter.txt"]) == 2
    assert "--content-filter-file" in capsys.readouterr().err
