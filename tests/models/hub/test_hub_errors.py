"""Errors of the Hub's client, each told with what to do, and no address with a query."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from models.errors import OriginError, TransientOriginError
from models.hub.bounded_client import HubFaultError
from models.hub.hub_errors import HubErrors
from models.refs import ModelRef

REF = ModelRef(repo="acme/model")
ERRORS = HubErrors("https://hub.corp.example", has_token=False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE is set.*--from PATH"),
        (HubFaultError("it sent too much"), "it sent too much"),
        (KeyError("siblings"), r"answers, but not as a hub does \(KeyError\)"),
    ],
)
def test_what_stays_wrong_is_said(error: Exception, said: str) -> None:
    with pytest.raises(OriginError, match=said) as raised:
        ERRORS.raise_for(error, REF)
    assert not isinstance(raised.value, TransientOriginError)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx2.ConnectError("refused"), "cannot be reached.*HTTPS_PROXY.*--from PATH"),
        (httpx2.ReadError("https://cdn.example/x?Signature=s3cret"), r"broke \(ReadError\)"),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, said: str) -> None:
    with pytest.raises(TransientOriginError, match=said) as raised:
        ERRORS.raise_for(error, REF)
    assert "s3cret" not in str(raised.value)
