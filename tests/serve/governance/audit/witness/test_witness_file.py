"""The file of witnesses: pinned addresses, keys of witnesses, and words for what is wrong."""

from __future__ import annotations

import pytest

from serve.errors import StartupError
from serve.governance.audit.witness.witness_file import load
from tests.serve.governance.audit.witness.trees import LOG_KEY, WITNESS_KEY

PLAIN = f"""\
every_s = 10
[[witness]]
url = "http://127.0.0.1:8321/"
address = "127.0.0.1"
port = 8321
allow_http = true
key = "{WITNESS_KEY.verifier.text}"
"""


def test_witnesses_are_read(tmp_path):
    path = tmp_path / "witness.toml"
    path.write_text(PLAIN)
    found = load(path)
    assert found.every_s == 10
    assert [client.verifier for client in found.clients] == [WITNESS_KEY.verifier]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[[witness]]", "[[witnes]]", "no such key. Did you mean witness"),
        ("allow_http = true", "alow_http = true", "Did you mean allow_http"),
        ("allow_http = true", "", "not https"),
        ("port = 8321", "", "say so with port = 8321, too, or take 80"),
        ('address = "127.0.0.1"', 'address = "169.254.169.254"', "never reached"),
        ('address = "127.0.0.1"', "", "missing"),
        (WITNESS_KEY.verifier.text, LOG_KEY.verifier.text, "audit key generate --witness"),
        (WITNESS_KEY.verifier.text, "nobody", r"witness\.0\.key"),
        ("every_s = 10", "every_s = 0", "every_s"),
        ("every_s = 10", "every_s", "no TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, why):
    path = tmp_path / "witness.toml"
    path.write_text(PLAIN.replace(old, new))
    with pytest.raises(StartupError, match=why):
        load(path)


def test_no_file_and_the_same_witness_twice_are_refused(tmp_path):
    path = tmp_path / "witness.toml"
    with pytest.raises(StartupError, match="is not there"):
        load(path)
    path.write_text(PLAIN + PLAIN.partition("\n")[2])
    with pytest.raises(StartupError, match="twice"):
        load(path)
