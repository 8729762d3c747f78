"""Programs of the system that tests run: who has not got one skips its tests; `make prove` fails.

    needs_kubectl = needs("kubectl")        # a mark, heeded by tests/conftest.py

A proof that has left something out is none, so there a missing program is named with its package.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence

import pytest

PACKAGES = {
    "bash": "bash",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "fish": "fish",
    "initdb": "postgresql",
    "kubectl": "kubernetes-client",
    "nginx": "nginx-light",
    "node": "nodejs",
    "npm": "npm",
    "openssl": "openssl",
    "postgres": "postgresql",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "setpriv": "util-linux",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "xargs": "findutils",
    "zsh": "zsh",
}
"""Debian's package of each program."""
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where a user's own path does not lead."""
MARK = "needs_programs"


def find(name: str) -> str | None:
    """The program's file; None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM)


def needs(*names: str) -> pytest.MarkDecorator:
    """The mark of tests that run these programs, keys of ``PACKAGES``."""
    unknown = set(names) - PACKAGES.keys()
    if unknown:
        raise KeyError(f"tests/programs.py names no package of {', '.join(sorted(unknown))}")
    decorator: pytest.MarkDecorator = getattr(pytest.mark, MARK)(*names)
    return decorator


def require(names: Iterable[str], *, is_proving: bool) -> None:
    """Skip where one of the programs is not installed, or fail where all is to be proven."""
    missing = [name for name in names if find(name) is None]
    if not missing:
        return
    packages = " ".join(dict.fromkeys(PACKAGES[name] for name in missing))
    told = f"{', '.join(missing)}: not installed (apt install {packages})"
    if is_proving:
        pytest.fail(f"{told}, and `make prove` leaves nothing out for that", pytrace=False)
    pytest.skip(told)


def skip_without_own_network(unshare: Sequence[str]) -> None:
    """Skip where this user may have no network namespace, which ``unshare`` makes."""
    if find(unshare[0]) is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("a network namespace of one's own is not permitted here")
