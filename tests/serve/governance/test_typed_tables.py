"""Files of typed tables: what they hold, and each fault with its key, never its value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, field_validator

from serve.errors import StartupError
from serve.governance.typed_tables import TypedTable, named, read_typed


class Inner(TypedTable):
    size: int = 1
    sender: str = Field("", alias="from")

    @field_validator("size")
    @classmethod
    def _is_small(cls, size: int) -> int:
        if size > 9:
            raise ValueError("it is large")
        return size


class File(TypedTable):
    name: str
    one: Inner | None = None
    more: list[Inner] = Field(default_factory=list)


def read(folder: Path, text: str) -> File:
    path = folder / "x.toml"
    path.write_text(text)
    return read_typed(path, "--x", File, 1000)


def test_a_file_is_read_into_its_tables(tmp_path):
    found = read(tmp_path, 'name = "a"\n[one]\nfrom = "b"\n[[more]]\nsize = 2')
    assert found.one is not None
    assert (found.name, found.one.sender, found.more[0].size) == ("a", "b", 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name: it is needed and missing."),
        ("name = 'a'\nones = 1", "ones: there is no such key. Did you mean one or name or more?"),
        ("name = 'a'\n[one]\nsiz = 1", "one.siz: there is no such key. Did you mean size?"),
        ("name = 'a'\n[one]\nfro = 1", "one.fro: there is no such key. Did you mean from?"),
        ("name = 'a'\n[[more]]\nsizes = 1", "more.0.sizes: there is no such key. Did you mean siz"),
        ("name = 'a'\n[one]\nsize = 10", "one.size: it is large."),
        ("name = 'secret'\n[one]\nsize = 'secret'", "one.size: "),
    ],
)
def test_a_fault_has_the_file_and_its_key(tmp_path, text, told):
    with pytest.raises(StartupError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"--x {tmp_path / 'x.toml'}: {told}")
    assert "secret" not in str(refused.value)


def test_every_fault_has_a_line(tmp_path):
    with pytest.raises(StartupError) as refused:
        read(tmp_path, "[one]\nsize = 10\nother = 1")
    assert len(str(refused.value).splitlines()) == 3


def test_a_file_that_is_too_large_or_not_there_is_refused(tmp_path):
    with pytest.raises(StartupError, match="cannot be used"):
        read(tmp_path, "# " + "x" * 1000)
    with pytest.raises(StartupError, match=r"--x .*none is not there"):
        read_typed(tmp_path / "none", "--x", File, 1000)


def test_a_block_names_its_key():
    with pytest.raises(ValueError, match=r"^a\.b: too small$"), named("a.b"):
        raise ValueError("too small")
