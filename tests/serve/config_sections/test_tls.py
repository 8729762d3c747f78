"""Certificates and what stands in front: what may be said together."""

from __future__ import annotations

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError

PAIR = {"ssl_certfile": "/tls/tls.crt", "ssl_keyfile": "/tls/tls.key"}
MUTUAL = {**PAIR, "ssl_ca_certs": "/tls/ca.crt"}


@pytest.mark.parametrize("given", [{}, PAIR, MUTUAL, {**MUTUAL, "ssl_cert_reqs": 1}])
def test_what_goes_together_passes(given: dict[str, object]) -> None:
    config = load_config(given, env={})
    assert (config.ssl_certfile is None) is (config.ssl_keyfile is None)
    assert config.behind_proxy is False


def test_clients_must_show_a_certificate_where_authorities_are_named() -> None:
    assert load_config({}, env={}).client_certificate_mode == 0
    assert load_config(MUTUAL, env={}).client_certificate_mode == 2
    assert load_config({**MUTUAL, "ssl_cert_reqs": 1}, env={}).client_certificate_mode == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ssl_certfile": "/tls/tls.crt"}, "belong together"),
        ({"ssl_keyfile": "/tls/tls.key"}, "belong together"),
        ({"ssl_ca_certs": "/tls/ca.crt"}, "there is no --ssl-certfile"),
        ({**PAIR, "ssl_cert_reqs": 2}, "who signs them"),
        ({**MUTUAL, "ssl_cert_reqs": 0}, "without effect"),
        ({**PAIR, "client_cert_map": "/tls/map.toml"}, "needs --ssl-ca-certs"),
        ({**PAIR, "behind_proxy": True}, "give one of them"),
        ({**PAIR, "ssl_cert_reqs": 3}, "ssl-cert-reqs"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(StartupError, match=why):
        load_config(given, env={})
