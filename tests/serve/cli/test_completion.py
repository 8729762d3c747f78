"""Completion, by the shells themselves where they are installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from serve.cli import completion, console
from serve.cli.console_commands import COMMANDS, SHELLS
from tests.programs import needs

PRESS = """
source /dev/stdin <<'EOT'
{script}
EOT
COMP_WORDS=({words}) COMP_CWORD={at}
_intramural
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    (tmp_path / "models" / "our-tune").mkdir(parents=True, exist_ok=True)
    (tmp_path / "weights").mkdir(exist_ok=True)
    script = PRESS.format(
        script=completion.script("bash"),
        words=" ".join(f"'{word}'" for word in ("intramural", *words)),
        at=len(words),
    )
    result = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "INTRAMURAL_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["qu"], {"quantize"}),
        (["serve", "our"], {"our-tune"}),
        (["run", "dem"], {"demo"}),
        (["serve", "--max-num-s"], {"--max-num-seqs"}),
        (["models", "ver"], {"verify"}),
        (["models", "show", "our"], {"our-tune"}),
        (["bench", "qual"], {"quality"}),
        (["completion", ""], set(SHELLS)),
        (["quantize", "wei"], {"weights"}),
        (["--v"], {"--version"}),
    ],
)
@needs("bash")
def test_bash_offers_what_fits(tmp_path: Path, words: list[str], offered: set[str]) -> None:
    assert set(completed(tmp_path, *words)) == offered


@pytest.mark.parametrize("shell", [pytest.param(s, marks=needs(s)) for s in SHELLS])
def test_each_shell_takes_its_script(tmp_path: Path, shell: str) -> None:
    file = tmp_path / "script"
    file.write_text(completion.script(shell))
    check = [shell, "--no-execute" if shell == "fish" else "-n", str(file)]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.dispatch(["completion", shell]) == 0
    words = set(capsys.readouterr().out.replace('"', " ").split())
    assert words >= COMMANDS.keys()


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.dispatch(["completion", "bahs"]) == 2
    assert "Did you mean bash" in capsys.readouterr().err
    assert console.dispatch(["completion"]) == 2
    assert capsys.readouterr().out == completion.USAGE
