"""Parts of the evidence: of one thing, of several, or of none."""

from __future__ import annotations

import json

import pytest

from serve.evidence.part import Part, Several, json_bytes, missing


@pytest.mark.parametrize(("second", "state"), [(True, "whole"), (False, "partly")])
def test_a_part_of_several_is_as_whole_as_each(second, state):
    several = Several("logs")
    several.add("audit/a", {"key.pub": b"1"}, "a: 2 entries.", is_whole=True)
    several.add("audit/b", {"key.pub": b"2", "x/y": b"3"}, "b: gone.", is_whole=second)
    several.add("audit/c", {}, "c: none.", is_whole=True)
    assert several.part() == Part(
        name="logs",
        state=state,
        summary="a: 2 entries. b: gone. c: none.",
        files={"audit/a/key.pub": b"1", "audit/b/key.pub": b"2", "audit/b/x/y": b"3"},
    )


def test_what_is_missing_has_no_files():
    part = missing("trace", "There is none.")
    assert (part.state, part.summary, dict(part.files)) == ("missing", "There is none.", {})


def test_json_is_for_people_too():
    text = json_bytes({"a": ["ä"]})
    assert json.loads(text) == {"a": ["ä"]}
    assert "ä" in text.decode()
    assert text.endswith(b"}\n")
