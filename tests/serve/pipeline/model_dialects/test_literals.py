"""Literals in a text that comes in pieces."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from serve.pipeline.model_dialects.literals import Literals

LITERALS = st.lists(st.text(alphabet="ab\n", max_size=4), max_size=4)


def test_the_earliest_counts_and_the_longest_of_those() -> None:
    literals = Literals(["b", "ab", "abc", ""])
    assert literals.find("xxabc", 0, is_over=True) == (2, "abc")
    assert literals.find("xxabd", 0, is_over=True) == (2, "ab")
    assert literals.find("xxabd", 3, is_over=True) == (3, "b")
    assert literals.find("xxab", 0, is_over=False) is None  # it could still be the longest
    assert literals.find("xxab", 0, is_over=True) == (2, "ab")


def test_one_that_began_before_could_still_come() -> None:
    literals = Literals(["aXb", "X"])
    assert literals.find("aX", 0, is_over=False) is None
    assert literals.find("aXc", 0, is_over=False) == (1, "X")
    assert literals.find("aXb", 0, is_over=False) == (0, "aXb")


def test_so_many_characters_before_it_at_most() -> None:
    literals = Literals(["ab"])
    assert literals.find("xxxab", 0, is_over=True, most=3) == (3, "ab")
    assert literals.find("xxxxxab", 0, is_over=True, most=3) is None


def test_without_literals_nothing_is_found_or_held() -> None:
    for literals in (Literals([]), Literals([""])):
        assert literals.find("abc", 0, is_over=False) is None
        assert literals.held("abc", 0) == 0


@given(literals=LITERALS, text=st.text(alphabet="ab\n", max_size=16), at=st.integers(0, 4))
@example(literals=["\na\n", "a"], text="b\na\nb", at=0)
def test_pieces_find_what_the_whole_has(literals: list[str], text: str, at: int) -> None:
    known = Literals(literals)
    whole = known.find(text, at, is_over=True)
    for end in range(at, len(text) + 1):
        part = text[:end]
        found = known.find(part, at, is_over=False)
        if found is not None:
            assert found == whole
        elif whole is not None:
            # What is let go of holds nothing of it.
            assert max(at, end - known.held(part, at)) <= whole[0] or end >= whole[0]
    starts = [(text.find(one, at), -len(one), one) for one in literals if one]
    wanted = min(((s, length, one) for s, length, one in starts if s >= 0), default=None)
    assert whole == (None if wanted is None else (wanted[0], wanted[2]))


@given(literals=LITERALS, text=st.text(alphabet="ab\n", max_size=16))
def test_what_is_held_is_the_longest_end_that_could_become_one(
    literals: list[str], text: str
) -> None:
    ends = [text[len(text) - length :] for length in range(1, len(text) + 1)]
    could = [
        len(end) for end in ends if any(one.startswith(end) and one != end for one in literals)
    ]
    assert Literals(literals).held(text, 0) == max(could, default=0)
