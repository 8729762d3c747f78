"""`audit key`: keys are made once, shown without what is secret, and rotated without a gap."""

from __future__ import annotations

import json
import stat

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.records.durable_log import open_durable
from serve.governance.audit.tlog.key_files import read_signer
from tests.independent_tlog.notes import PublicKey
from tests.serve.cli.audit.site import ORIGIN, calls
from tests.serve.cli.audit.test_verdicts import verify


def test_a_key_is_closed_and_its_public_half_is_for_everybody(site, capsys):
    assert stat.S_IMODE(site.key.stat().st_mode) == 0o600
    assert PublicKey.parse(site.public.read_text()).name == ORIGIN
    for file in (site.key, site.public):
        assert run_audit(["key", "show", str(file)]) == 0
        told = capsys.readouterr().out
        assert f"log key {ORIGIN}, id " in told
        assert "PRIVATE" not in told
    assert run_audit(["key", "show", str(site.witness_key), "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["keys"]
    assert shown["type"] == "witness"
    assert run_audit(["key", "show", str(site.content_key)]) == 0
    assert site.content_key.read_text().strip() not in capsys.readouterr().out


async def test_a_rotated_key_signs_on_and_what_the_old_one_signed_verifies(site, capsys):
    log = await open_durable(site.log, site.key)
    await log.append(calls(3))
    await log.close()
    old = read_signer(site.key).verifier
    assert run_audit(["key", "rotate", str(site.key)]) == 0
    assert verify(site) == 0  # signed by the old key still
    log = await open_durable(site.log, site.key)
    await log.append(calls(3, 3))
    await log.close()
    assert verify(site) == 0
    new = read_signer(site.key).verifier
    assert site.public.read_text().split() == [new.text, old.text]
    with pytest.raises(StartupError, match="put it away first"):
        run_audit(["key", "rotate", str(site.key)])


def test_a_rotated_content_key_keeps_the_old_one_below(site, capsys):
    (before,) = read_content_keys(site.content_key).keys
    assert run_audit(["key", "rotate", str(site.content_key), "--content"]) == 0
    first, second = read_content_keys(site.content_key).keys
    assert (second, first == before) == (before, False)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["generate", "{root}/log.key", "--name", "x"], "No file is overwritten"),
        (["generate", "{root}/content.key", "--content"], "No file is overwritten"),
        (["generate", "{root}/new"], "Name the log or the witness"),
        (["generate", "{root}/new", "--name", "a b"], "cannot be a key's name"),
        (["generate", "{root}/new", "--content", "--name", "x"], "has no name"),
        (["show", "{root}/none"], "no key file that can be read"),
        (["rotate", "{root}/none"], "is not there"),
    ],
)
def test_what_cannot_be_done_is_said(site, words, why):
    with pytest.raises(StartupError, match=why):
        run_audit(["key", *(word.format(root=site.root) for word in words)])
