"""The masked stream is the masked text, however the text is split."""

from __future__ import annotations

import random
from typing import cast

import pytest

from serve.governance.masking import stream as streams
from serve.governance.masking.detector import Detector
from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.replacing import SHAPES, Replacing
from serve.governance.masking.rules import Rule, RuleSet
from serve.governance.masking.scan import Scanner
from serve.governance.masking.stream import MaskedStream
from tests.serve.governance.masking.mixed_texts import ALL, chunkings, mixed_texts, texts_for

RULES = RuleSet(
    rules=tuple(
        Rule(
            name=each.name,
            action="mask" if number % 2 else "pseudonymise",
            detectors=(each,),
        )
        for number, each in enumerate(ALL)
        if each is not SHAPES
    )
)


SCANNER = Scanner(ALL)


def opened(scanner: Scanner, *, is_json: bool = False) -> MaskedStream:
    replacing = Replacing(RULES, Pseudonyms(), lambda _rule: None)
    return MaskedStream(scanner, replacing, is_json=is_json)


def at_once(text: str, *, is_json: bool = False, scanner: Scanner = SCANNER) -> str:
    """The text looked at as a whole, in one go."""
    stream = opened(scanner, is_json=is_json)
    stream._held = text
    return stream.finish()


def in_pieces(pieces: list[str], *, is_json: bool = False, scanner: Scanner = SCANNER) -> str:
    stream = opened(scanner, is_json=is_json)
    return "".join([*map(stream.feed, pieces), stream.finish()])


@pytest.fixture(scope="session")
def scale(is_proving: bool) -> int:
    return 100 if is_proving else 1


@pytest.mark.parametrize("is_json", [False, True])
def test_every_split_comes_to_the_masked_text(scale: int, is_json: bool) -> None:
    for text in mixed_texts(10 * scale if scale > 1 else 2):
        whole = at_once(text, is_json=is_json)
        for at in range(len(text) + 1):
            assert in_pieces([text[:at], text[at:]], is_json=is_json) == whole, (text, at)


@pytest.mark.parametrize("is_json", [False, True])
def test_every_chunking_comes_to_the_masked_text(scale: int, is_json: bool) -> None:
    rng = random.Random(4)
    for text in mixed_texts(50 * scale if scale > 1 else 6, seed=5):
        whole = at_once(text, is_json=is_json)
        for _ in range(10):
            pieces = chunkings(text, rng)
            assert in_pieces(pieces, is_json=is_json) == whole, (text, pieces)


def test_slices_of_a_long_text_come_to_the_masked_text(
    monkeypatch: pytest.MonkeyPatch, scale: int
) -> None:
    for size in (7, 64, 1000):
        monkeypatch.setattr(streams, "SLICE_CHARS", size)
        text = "".join(mixed_texts(5 + scale, seed=size))
        assert in_pieces([text]) == at_once(text)


@pytest.mark.parametrize("detector", ALL, ids=lambda each: each.name)
def test_each_detector_alone_waits_long_enough(detector: Detector, scale: int) -> None:
    """Without the others, whose hold-back may cover a mistake of its own."""
    scanner = Scanner([detector])
    for text in texts_for(detector.name, 2 * scale if scale > 1 else 1):
        whole = at_once(text, scanner=scanner)
        for at in range(len(text) + 1):
            pieces = [text[:at], text[at:]]
            assert in_pieces(pieces, scanner=scanner) == whole, (text, at)
        assert in_pieces(list(text), scanner=scanner) == whole, text


@pytest.mark.parametrize(
    "detector", [each for each in ALL if each is not SHAPES], ids=lambda each: each.name
)
def test_a_detector_that_does_not_wait_is_found_out(detector: Detector) -> None:
    """The texts above are such that each detector's own hold-back matters in them."""

    class Hasty:
        def __getattr__(self, name: str) -> object:
            return getattr(detector, name)

        def pending(self, text: str, begin: int) -> int:
            return len(text)

    scanner = Scanner([cast("Detector", Hasty())])
    assert any(
        in_pieces(list(text), scanner=scanner) != at_once(text, scanner=scanner)
        for text in texts_for(detector.name, 20)
    )
