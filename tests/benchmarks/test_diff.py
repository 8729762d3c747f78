"""What changed is told from noise, in the direction that matters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.diff import changes
from benchmarks.report.document import Row
from tests.benchmarks.documents import MACHINE, decode_row, document, level_row

SLOW = (80.0, 81.0, 79.0, 80.5)


def verdicts(before: Row, after: Row, least: float = 0.02) -> dict[str, str]:
    found = changes(document([before]), document([after]), least=least)
    return {each.figure: each.verdict for each in found}


def test_slower_is_worse_for_speed_and_for_latency() -> None:
    found = verdicts(decode_row(), decode_row("intramural transformers", *SLOW))
    assert found == dict.fromkeys(("decode_tokens_s", "itl_ms_p50", "itl_ms_p99", "mbu"), "worse")
    back = verdicts(decode_row("intramural transformers", *SLOW), decode_row())
    assert set(back.values()) == {"better"}


def test_noise_is_no_change() -> None:
    wide = (60.0, 140.0, 100.0, 90.0)
    assert set(verdicts(decode_row(), decode_row("intramural transformers", *wide)).values()) == {
        "same"
    }
    assert set(verdicts(decode_row(), decode_row()).values()) == {"same"}


def test_a_change_smaller_than_asked_is_none() -> None:
    found = verdicts(decode_row(), decode_row("intramural transformers", *SLOW), least=0.5)
    assert set(found.values()) == {"same"}


def test_one_round_cannot_tell() -> None:
    assert set(verdicts(level_row("1/s", 1.0), level_row("1/s", 1.0)).values()) == {"unknown"}


def test_other_systems_and_cases_are_not_compared() -> None:
    assert verdicts(decode_row(), decode_row("another")) == {}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(document([decode_row()]).to_json())
    slower = document([decode_row("intramural transformers", *SLOW)])
    after.write_text(slower.to_json().replace(MACHINE["processor"], "Other"))
    assert main(["diff", str(before), str(after)]) == 0
    out = capsys.readouterr().out
    assert "not the same machine: processor" in out
    assert json.loads(out.splitlines()[-1])["changes"][0]["verdict"] == "worse"
    assert main(["diff", str(before), str(after), "--fail-if-worse"]) == 1
    assert main(["diff", str(before), str(before), "--fail-if-worse"]) == 0


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    one.write_text(document([decode_row()]).to_json())
    other.write_text(document([decode_row("another")]).to_json())
    for files in ((one, other), (one, tmp_path / "none.json")):
        with pytest.raises(SystemExit) as ended:
            main(["diff", *map(str, files)])
        assert ended.value.code == 2
    assert "in common" in capsys.readouterr().err
