from __future__ import annotations

import subprocess
import sys

import pytest

from models.__main__ import main
from tests.house.tree import ROOT


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m models show" in capsys.readouterr().out


def test_the_hub_s_client_is_imported_by_pull_alone():
    program = "import sys, models.__main__; print('huggingface_hub' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_an_error_of_ours_is_one_line_and_code_2(tmp_path, capsys):
    assert main(["show", "nonesuch", "--data-dir", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: there is no model 'nonesuch'")


def test_an_interruption_is_code_130(tmp_path, capsys, monkeypatch):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("models.cli.listing._list", interrupt)
    assert main(["list", "--data-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "interrupted\n"
