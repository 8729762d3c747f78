"""What is measured is the server named, whatever proxies the environment has."""

from __future__ import annotations

import socket
import urllib.error

import pytest

from benchmarks.direct_http import direct


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(urllib.error.URLError):
            direct.open("http://127.0.0.1:9/", timeout=1)
        with pytest.raises(BlockingIOError):
            proxy.accept()
