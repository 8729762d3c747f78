"""A draft is cut with its masks, or stays as it is."""

from __future__ import annotations

from typing import Any

from serve.engine.transformers.draft import NO_DRAFT, Draft


def test_a_draft_is_cut_with_its_masks() -> None:
    masks: Any = ("a", "b", "c")
    draft = Draft((5, 6, 7), masks)
    assert draft.first(2) == Draft((5, 6), ("a", "b"))  # type: ignore[arg-type]
    assert draft.first(3) is draft
    assert draft.first(9) is draft
    assert not draft.first(0)


def test_one_without_guesses_is_empty() -> None:
    assert len(NO_DRAFT) == 0
    assert not NO_DRAFT
