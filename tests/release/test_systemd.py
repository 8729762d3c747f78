"""The unit for systemd: as systemd reads it, and its settings as the server does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from serve.cli.console import words_of
from serve.cli.flags import parse
from serve.config import Config
from serve.setting_names import env_of
from tests.house.tree import ROOT
from tests.programs import needs

UNIT = ROOT / "release" / "systemd" / "intramural.service"


def settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_its_command_and_its_variables_are_ours() -> None:
    (command,) = settings("ExecStart")
    program, name, *words = shlex.split(command)
    assert program.endswith("/bin/intramural")
    assert name == "serve"
    assert parse(words_of(name, words)).config == Path("/etc/intramural/serve.toml")
    variables = {text.partition("=")[0] for text in settings("Environment")}
    ours = {variable for variable in variables if variable.startswith("INTRAMURAL_")}
    assert ours
    assert ours <= {env_of(field) for field in Config.model_fields}


def test_a_stop_waits_longer_than_the_server_does() -> None:
    waits_s = Config.model_fields["shutdown_timeout"].default
    assert (
        int(settings("TimeoutStopSec")[0]) > waits_s + Config.model_fields["shutdown_delay"].default
    )


@needs("systemd-analyze")
def test_systemd_takes_it_and_finds_it_hardened(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/intramural/bin/intramural", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout  # at most 2.5 of 10, where 10 is exposed
