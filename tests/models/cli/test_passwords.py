"""A password's file: its line, as it is, and words for one that cannot be read."""

from __future__ import annotations

import pytest

from models.cli.passwords import read_password
from models.errors import BundleError, SignatureError


@pytest.mark.parametrize("content", [b" pass word", b" pass word\n", b" pass word\r\n"])
def test_a_password_is_a_line_without_its_end(tmp_path, content):
    file = tmp_path / "password"
    file.write_bytes(content)
    assert read_password(file, BundleError) == b" pass word"


def test_no_file_is_no_password():
    assert read_password(None, BundleError) is None


@pytest.mark.parametrize("error", [BundleError, SignatureError])
def test_a_file_that_cannot_be_read_is_the_command_s_error(tmp_path, error):
    with pytest.raises(error, match="none cannot be read: No such file"):
        read_password(tmp_path / "none", error)
