"""Data across the edges of an answer: its part in the answer is masked, wherever the cut is."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator

import pytest

from serve.governance.around import Around
from serve.governance.masking.custom import CustomDetector, compiled
from serve.governance.masking.detectors.catalogue import DETECTORS
from serve.governance.masking.edges import REACH, ContinuedStream, edges_of
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import BlockedError, Replace
from tests.serve.governance.masking.corpus.positives import Positive, positives
from tests.serve.governance.masking.mixed_texts import ALL, chunkings, mixed_texts

SCANNER = Scanner(each for own in DETECTORS.values() for each in own)
EVERY = Scanner(ALL)


def labelled(hit: Hit, _key: str, _value: str) -> str:
    return f"[{hit.detector.label}]"


def masked(
    pieces: list[str],
    around: Around,
    *,
    scanner: Scanner = SCANNER,
    replace: Replace = labelled,
    is_json: bool = False,
) -> str:
    edges = edges_of(around, scanner, is_json=is_json)
    stream = ContinuedStream(scanner, replace, edges, is_json=is_json)
    passed = [stream.feed(piece) for piece in pieces]
    return "".join([*passed, "" if stream.blocked else stream.finish()])


def splits(each: Positive) -> Iterator[tuple[str, Around, str]]:
    """An answer, what stands around it, and what is to come of it, for each place in the data."""
    size = len(each.value)
    for at in range(1, size):
        before, rest = each.before + each.value[:at], each.value[at:]
        yield rest + each.after, Around(before), f"[{each.label}]{each.after}"
        begun, after = each.before + each.value[:at], each.value[at:] + each.after
        yield begun, Around("", after), f"{each.before}[{each.label}]"
        for end in range(at + 1, size, 5):
            around = Around(before, each.value[end:] + each.after)
            yield each.value[at:end], around, f"[{each.label}]"


def seen(text: str) -> str:
    """A text without invisible characters: those at the end of data stay where they are."""
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def is_short(each: Positive) -> bool:
    return len(each.value) < 40


def test_data_is_masked_wherever_an_edge_cuts_it(is_proving: bool) -> None:
    texts = [each for each in positives(400 if is_proving else 9, 11) if is_short(each)]
    for each in texts:
        for answer, around, wanted in splits(each):
            for pieces in ([answer], list(answer)):
                assert seen(masked(pieces, around)) == seen(wanted), (around, pieces)


@pytest.mark.parametrize("is_json", [False, True])
def test_every_chunking_with_every_edge_comes_to_the_same(is_proving: bool, is_json: bool) -> None:
    rng = random.Random(9)
    for text in mixed_texts(300 if is_proving else 5, seed=8):
        for _ in range(10):
            begin = rng.randrange(len(text))
            end = rng.randrange(begin, len(text)) + 1
            around, answer = Around(text[:begin], text[end:]), text[begin:end]
            whole = masked([answer], around, scanner=EVERY, is_json=is_json)
            for pieces in (list(answer), chunkings(answer, rng)):
                told = masked(pieces, around, scanner=EVERY, is_json=is_json)
                assert told == whole, (around, pieces)


def test_an_announced_secret_is_masked_behind_the_word_for_it() -> None:
    assert masked(["hunter22, and so on"], Around("my password: ")) == "[PASSWORD], and so on"
    assert masked(["E12345678."], Around("护照：")) == "[PASSPORT]."
    assert masked(["护照"], Around("", "E12345678.")) == "护照"


def test_an_answer_is_masked_as_a_text_of_its_own_too() -> None:
    assert masked(["13800138000 is it"], Around("1")) == "[PHONE] is it"
    assert masked(["it is 13800138000"], Around("", "1")) == "it is [PHONE]"
    assert masked(["123 is it"], Around("13800138000 ")) == "123 is it"


def test_data_across_an_edge_ends_an_answer_where_it_is_blocked() -> None:
    def blocks(hit: Hit, _key: str, _value: str) -> str:
        raise BlockedError(hit.detector.name)

    assert masked(list("45-6789 is it"), Around("it is 123-"), replace=blocks) == ""
    assert masked(list("it is 123-4"), Around("", "5-6789"), replace=blocks) == "it is "
    assert masked(list("ord: hunter22, and"), Around("passw"), replace=blocks) == "ord: "


def test_data_that_is_only_counted_hides_no_other() -> None:
    def counts(hit: Hit, _key: str, value: str) -> str | None:
        return None if value.startswith("ann") else f"[{hit.detector.label}]"

    text = "ann1@example.com, 13800138000"
    assert masked([text], Around("password: "), replace=counts) == "ann1@example.com, [PHONE]"

    custom = CustomDetector(name="x", label="X", regexp=compiled("X.{0,30}Y"), max_chars=40)
    scanner = Scanner([custom, *SCANNER._detectors])

    def counts_x(hit: Hit, _key: str, _value: str) -> str | None:
        return None if hit.detector is custom else f"[{hit.detector.label}]"

    told = masked(list("X 13800138000,"), Around("", "Y"), scanner=scanner, replace=counts_x)
    assert told == "X [PHONE],"


def test_data_across_an_edge_hides_none_of_the_answer_s_own() -> None:
    for before, answer, wanted in (
        ("passport E3", "6222629\r\n997524254531.", "[PASSPORT][BANK_CARD]."),
        ("ann@example.de", "bob_667@example.com is", "[EMAIL][EMAIL] is"),
        ("浙F·F5", "227-74-5308", "[PLATE][SSN]"),
    ):
        for pieces in ([answer], list(answer)):
            assert masked(pieces, Around(before)) == wanted
    assert masked(list("227-74"), Around("浙F·F5", "-5308")) == "[PLATE][SSN]"


def test_json_stays_json_behind_an_edge() -> None:
    assert masked(["8000}"], Around('{"tel": 1380013'), is_json=True) == '"[PHONE]"}'


def test_invisible_characters_hide_no_edge() -> None:
    unseen = "\u200b" * (20 * REACH)
    assert masked(["8000!"], Around(f"1380013{unseen}")) == "[PHONE]!"
    assert masked(["1380013"], Around("", f"{unseen}8000")) == "[PHONE]"


def test_a_long_text_before_is_read_no_further_than_detectors_see() -> None:
    edges = edges_of(Around("-----BEGIN PRIVATE KEY-----" + "x" * 50_000, "y" * 50_000), SCANNER)
    assert len(edges.held) < 100
    assert len(edges.after) < 2 * REACH
    unseen = "\u200b" * (50 * REACH)
    edges = edges_of(Around(f"1380013{unseen}", f"{unseen}8000"), SCANNER)
    assert len(edges.held) + len(edges.after) < 4 * REACH


@pytest.mark.parametrize(
    ("answer", "around", "wanted"),
    [
        ('"8000"', Around("call 1380013"), '"[PHONE]"'),
        ('"1380013"', Around("", "8000"), '"[PHONE]"'),
        ('"0013"', Around("138", "8000"), '"[PHONE]"'),
        ('{"tel": "1380013"', Around("", "8000"), '{"tel": "[PHONE]"'),
    ],
)
def test_quotes_at_an_edge_stay(answer: str, around: Around, wanted: str) -> None:
    for pieces in ([answer], list(answer)):
        assert masked(pieces, around, is_json=True) == wanted
