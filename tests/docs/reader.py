"""A reader of the pages: a shell that keeps its state, in a home that was never used before.

What the pages name and no machine of ours has is replaced: the Hub by an emulator, folders at the
root of the file system by folders in the new place, and the port, so that nobody else's is taken.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import Command
from tests.e2e.server import free_port

FOLDERS = ("/media", "/opt", "/srv", "/etc/intramural")
_SERVES = re.compile(r"(?:make serve|\S*python -m serve(?: --.*)?)(?: +#.*)?")
_ONCE = re.compile(r"--(?:print-config|help|version)\b")
_MARK = "-- the walk goes on --"
READY_TIMEOUT_S = 900
"""Set-up included: some gigabytes."""


@dataclass(frozen=True)
class Step:
    """A command that was run, and what came of it.

    Attributes:
        seconds: until it ended; of a server until it was ready.
        code: its exit code; 0 for a server that was ready; None for one that was not run.
        output: what it printed; the log, of a server.
    """

    page: str
    command: Command
    seconds: float = 0.0
    code: int | None = None
    output: str = ""


class Reader:
    """Runs commands one after the other, as somebody would who reads.

    Args:
        place: a folder for all that the commands make; its ``home`` is the reader's own.
        folder: where the first command is run.
        variables: of the environment, beside the few of this process's that are kept.
        before: words before the shell's own, such as those that make a network namespace.
    """

    def __init__(
        self,
        place: Path,
        folder: Path,
        variables: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self._place = place
        self.port = free_port()
        self._log = place / "server.log"
        home = place / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "LANG", "TERM", "SSL_CERT_FILE"} or name.startswith("PIP_")
        }
        own = {"HOME": str(home), "INTRAMURAL_PORT": str(self.port), "COLUMNS": "80"}
        self._shell = subprocess.Popen(
            [*before, "bash"],
            cwd=folder,
            env=kept | own | dict(variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def close(self) -> None:
        """End the server, and then the shell with all that it started."""
        end = '[ -z "$server" ] || kill $server 2> /dev/null; wait; exit\n'
        try:
            self._shell.communicate(end, timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()

    def run(self, page: str, command: Command) -> Step:
        """Run it to its end, or a server until it is ready. Never raises for what it does."""
        begun = time.monotonic()
        text = self.localised(command)
        if is_server(command):
            code, output = self._serve(text)
        else:
            code, output = self._ask(text)
        return Step(page, command, time.monotonic() - begun, code, output)

    def localised(self, command: Command) -> str:
        """The command as it is run here: with our port, and folders of the new place."""
        text = command.text
        for folder in FOLDERS:
            text = re.sub(rf"(?<![\w.~]){folder}(?=/)", f"{self._place}{folder}", text)
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        text = re.sub(r"-m serve chat\b", rf"\g<0> --url http://127.0.0.1:{self.port}", text)
        if command.language == "python":
            return f"python -c {shlex.quote(text)}"
        return text

    def _serve(self, text: str) -> tuple[int, str]:
        # The one before ends first: a reader presses Ctrl-C in its terminal.
        stop = '[ -z "$server" ] || { kill $server; wait $server; }'
        self._ask(f"{stop} 2> /dev/null; {text.partition(' #')[0]} > {self._log} 2>&1 & server=$!")
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._ask("kill -0 $server 2> /dev/null")[0]:
                return 1, self._log.read_text()
            if self._ask(f"curl -sf http://127.0.0.1:{self.port}/readyz")[0] == 0:
                return 0, self._log.read_text()
            time.sleep(0.1)
        return 124, self._log.read_text()

    def _ask(self, text: str) -> tuple[int, str]:
        """Run a command in the shell; its exit code, and what it printed."""
        self._say(f"{{\n{text}\n}} < /dev/null\nprintf '\\n%s %s\\n' '{_MARK}' $?")
        printed: list[str] = []
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            if line.startswith(_MARK):
                return int(line.split()[-1]), "".join(printed).strip()
            printed.append(line)
        return self._shell.wait(30), "".join(printed).strip()

    def _say(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text + "\n")
        self._shell.stdin.flush()


def is_server(command: Command) -> bool:
    """Whether it runs until it is ended."""
    return (
        command.language == "sh"
        and _SERVES.fullmatch(command.text) is not None
        and _ONCE.search(command.text) is None
    )
