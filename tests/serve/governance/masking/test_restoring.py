"""Pseudonyms restored: the same for every split, and in JSON as JSON."""

from __future__ import annotations

import json
import random

import pytest

from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.restoring import RestoredStream
from tests.serve.governance.masking.mixed_texts import chunkings

OWN = Pseudonyms()
EMAIL = OWN.of("EMAIL", "a", 'a"\\b@c.de')
PHONE = OWN.of("PHONE", "1", "138 0013 8000")


def restored(pieces: list[str], *, is_json: bool = False) -> str:
    stream = RestoredStream(OWN, is_json=is_json)
    return "".join([*map(stream.feed, pieces), stream.finish()])


def test_ours_are_restored_and_no_others() -> None:
    text = f"{EMAIL}, <EMAIL_2>, <email_1>, <{PHONE}>, EMAIL_1, <EMAIL_1"
    want = 'a"\\b@c.de, <EMAIL_2>, <email_1>, <138 0013 8000>, EMAIL_1, <EMAIL_1'
    assert restored([text]) == want


@pytest.mark.parametrize("form", ["<EMAIL_1>", r"\u003cEMAIL_1\u003e", r"\u003CEMAIL_1>"])
def test_json_stays_json(form: str) -> None:
    text = f'{{"to": "{form}, x"}}'
    assert json.loads(restored([text], is_json=True)) == {"to": 'a"\\b@c.de, x'}


@pytest.mark.parametrize("is_json", [False, True])
def test_every_split_comes_to_the_same(is_json: bool) -> None:
    rng = random.Random(1)
    bits = ("<", ">", EMAIL, PHONE, "<EMAIL_", "1", "\\", "\\u003c", "\\u003e", "\\u00", "A", " ")
    for _ in range(100):
        text = "".join(rng.choice(bits) for _ in range(12))
        whole = restored([text], is_json=is_json)
        for at in range(len(text)):
            assert restored([text[:at], text[at:]], is_json=is_json) == whole
        assert restored(chunkings(text, rng), is_json=is_json) == whole
