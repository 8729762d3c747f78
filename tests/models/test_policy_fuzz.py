"""Whatever the bytes: the policy passes a folder or refuses it, and never fails in another way."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import folder, policy
from models.errors import ModelError
from models.rules import templates
from tests.models.benign import FOLDERS
from tests.models.benign import folder as benign_folder
from tests.models.poison import INDEX

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        *("auto_map", "architectures", "quantization_config", "chat_template", "model_type"),
        *("weight_map", "metadata", "backbone", "fast_tokenizer_files", "attn_implementation"),
        *("trust_remote_code", "transformers_weights", "vocab", "__metadata__", "t", "dtype"),
    ]
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=5
)


def judge(path: Path) -> None:
    try:
        policy.check(path)
        folder.missing(path)
        folder.scheme_of(path)
    except ModelError:
        pass


def mutate(raw: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Replace a few bytes, somewhere, by others; often within the header or the JSON."""
    for place, length, new in edits:
        at = int(place * len(raw))
        raw = raw[:at] + new + raw[at + length :]
    return raw


@pytest.mark.parametrize(
    "name", ["config.json", INDEX, "model-00001-of-00003.safetensors", "tokenizer.json"]
)
@given(edits=EDITS)
def test_changed_bytes(name, edits):
    with tempfile.TemporaryDirectory() as place:
        path = benign_folder(Path(place) / "m", "shards")
        (path / name).write_bytes(mutate((path / name).read_bytes(), edits))
        judge(path)


@pytest.mark.parametrize("name", ["config.json", INDEX, "tokenizer_config.json", "tokenizer.json"])
@given(document=st.dictionaries(KEYS | st.text(max_size=8), JSON | st.dictionaries(KEYS, JSON)))
def test_other_documents(name, document):
    with tempfile.TemporaryDirectory() as place:
        path = benign_folder(Path(place) / "m", "a single file")
        (path / name).write_text(json.dumps(document))
        judge(path)


@given(
    header=st.dictionaries(
        KEYS,
        st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "x"]),
            st.sampled_from(["U8", "F4", "F32"])
            | st.lists(st.integers(-9, 1 << 70), max_size=3)
            | JSON,
        ),
    ),
    tail=st.integers(0, 40),
)
def test_other_headers(header, tail):
    raw = json.dumps(header).encode()
    with tempfile.TemporaryDirectory() as place:
        path = benign_folder(Path(place) / "m", "a single file")
        (path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(tail))
        judge(path)


SOURCE = (
    "{{ }} {% %} {%- -%} if else endif for endfor in set = ( ) [ ] . , | ~ + * ** // % messages "
    "range 10 999999999 'a' '__class__' x.y not is defined loop.first recursive macro endmacro "
    "call endcall filter endfilter include extends block endblock namespace() 0x1f 1e9 generation "
    "endgeneration {# #} -1 true none ' \""
)
FRAGMENTS = st.sampled_from(SOURCE.split())


@given(parts=st.lists(FRAGMENTS | st.text(max_size=4), max_size=40))
def test_any_template(parts):
    fault = templates.fault(" ".join(parts))
    assert fault is None or fault


def test_the_corpus_is_large_enough():
    assert len(FOLDERS) >= 10
