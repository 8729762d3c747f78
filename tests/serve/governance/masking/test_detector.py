"""Detectors keep to the bounds that they state: without them a stream would not be the whole."""

from __future__ import annotations

import re
import warnings

import pytest

from serve.governance.masking.detector import LEFT, PatternDetector
from serve.governance.masking.detectors.catalogue import DETECTORS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sre_parse

ALL = [each for own in DETECTORS.values() for each in own if isinstance(each, PatternDetector)]


@pytest.mark.parametrize("detector", ALL, ids=lambda each: each.name)
def test_no_match_is_longer_than_the_reach(detector: PatternDetector) -> None:
    parsed = sre_parse.parse(detector.pattern.pattern, detector.pattern.flags & ~re.UNICODE)
    assert 0 < parsed.getwidth()[1] < detector.reach


def test_what_detectors_look_at_before_a_match_is_kept() -> None:
    assert LEFT >= 24


def test_names_are_given_once() -> None:
    names = [each.name for each in ALL]
    assert len(set(names)) == len(names)


def test_a_gate_lets_a_text_with_a_match_pass() -> None:
    filler = "and so on, " * 200
    (mobile,) = DETECTORS["mobile_phone"]
    assert [found.start for found in mobile.found(filler + "13800138000", 0, 10**6)] == [2200]
    assert not list(mobile.found(filler, 0, 10**6))
