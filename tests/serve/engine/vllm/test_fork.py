"""How vLLM's processes are started; that they serve as forks is the contract suite's and e2e's."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

STUBBORN = """
import signal
signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
print("up", flush=True)
input()
print("ended", flush=True)
"""


def test_a_handler_installed_later_hears_nothing() -> None:
    from serve.engine.vllm.fork import deaf_to_signals

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with deaf_to_signals():
        child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdin=-1, stdout=-1, text=True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        child.send_signal(number)
    output, _ = child.communicate("go on\n", timeout=20)
    assert output == "ended\n"
    assert child.returncode == 0


def test_variables_of_the_fork_server_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from serve.environment import variables_set

    monkeypatch.setenv("INTRAMURAL_TEST_OWN", "operator")
    with variables_set({"INTRAMURAL_TEST_OWN": "ours", "INTRAMURAL_TEST_NEW": "1"}):
        assert os.environ["INTRAMURAL_TEST_OWN"] == "operator"
        assert os.environ["INTRAMURAL_TEST_NEW"] == "1"
    assert "INTRAMURAL_TEST_NEW" not in os.environ
