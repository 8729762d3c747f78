from __future__ import annotations

import io
import pickle
import tarfile

import pytest

from models.rules import disguise


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [Exception("x"), print])
def test_pickles_of_every_protocol(protocol, value):
    assert disguise.kind_of(pickle.dumps(value, protocol)) == "a pickle"


def test_a_tar_archive():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("config.json"))
    assert disguise.kind_of(buffer.getvalue()[: disguise.HEAD_BYTES]) == "a tar archive"


def test_compiled_python(tmp_path):
    source = tmp_path / "x.py"
    source.write_text("x = 1\n")
    import py_compile

    compiled = py_compile.compile(str(source), cfile=str(tmp_path / "x.txt"))
    assert disguise.disguise(tmp_path / "x.txt") == "compiled Python"
    assert compiled


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "#version: 0.2\n", "the\ncat\n", "cat\ndog\n(\n", "cat\ndog\n.\n", "[PAD]\n"),
        *("copyright\nnotice\nthe\n", "! 0\n", "\n\r\n", "# Title\n"),
    ],
)
def test_texts_are_texts(text):
    assert disguise.kind_of(text.encode()) is None
