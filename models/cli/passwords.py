"""The file of a private key's password."""

from __future__ import annotations

from pathlib import Path

from models import plain_file
from models.cli.options import MAX_SECRET_BYTES
from models.errors import ModelError


def read_password(file: Path | None, refused: type[ModelError]) -> bytes | None:
    """The password, without the end of its line; None where no file is named.

    Args:
        refused: the error that is raised where the file cannot be read.
    """
    if file is None:
        return None
    try:
        content = plain_file.read(file, MAX_SECRET_BYTES, may_be_link=True, may_be_pipe=True)
    except OSError as error:
        raise refused(f"{file} cannot be read: {error.strerror or error}") from None
    return content.rstrip(b"\r\n")
