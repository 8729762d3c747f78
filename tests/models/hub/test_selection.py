from __future__ import annotations

import pytest

from models import policy
from models.errors import ModelRefusedError, OriginError
from models.hub.origins import Listing, OriginFile
from models.hub.selection import select


def listing(*paths: str) -> Listing:
    return Listing(files=tuple(OriginFile(path=path, size=1) for path in paths))


def taken(*paths: str) -> list[str]:
    return [file.path for file in select(listing(*paths), where="x").chosen]


WANTED = ("config.json", "model.safetensors", "tokenizer.json", "LICENSE", "README.md")


def test_what_the_policy_allows_is_taken_once():
    others = (
        *("pytorch_model.bin", "model.gguf", "modeling_x.py", ".gitattributes", "a/.hidden.json"),
        *("original/params.json", "original/consolidated.00.pth", "consolidated.safetensors"),
        *("onnx/model.onnx", "fp16/model.safetensors", "a/b/c/d.json", "logo.png"),
        *("manifest.json", "model.sig", "pytorch_model.bin.index.json"),
    )
    found = select(listing(*WANTED, *others), where="x")
    assert [file.path for file in found.chosen] == list(WANTED)
    assert [line.partition(":")[0] for line in found.skipped] == list(others)
    assert found.num_bytes == len(WANTED)


def test_templates_in_a_folder_are_taken():
    path = "additional_chat_templates/tool_use.jinja"
    assert path in taken("model.safetensors", path)


@pytest.mark.parametrize(
    "path", ["../x.json", "/etc/x.json", "a//b.json", "a\\b.json", "a\0.json", "a/./b.json", ""]
)
def test_paths_that_lead_elsewhere_are_refused(path):
    with pytest.raises(ModelRefusedError, match="the file"):
        taken("model.safetensors", path)


@pytest.mark.parametrize("path", ["MODEL.safetensors", "model.safetensors"])
def test_two_files_of_one_name_are_refused(path):
    with pytest.raises(ModelRefusedError, match="two files"):
        taken("model.safetensors", path)


def test_a_repository_without_safetensors_says_what_it_has():
    with pytest.raises(OriginError, match=r"no safetensors.*pytorch_model\.bin"):
        taken("config.json", "pytorch_model.bin")


def test_too_many_files(monkeypatch):
    monkeypatch.setattr(policy, "MAX_FILES", 2)
    with pytest.raises(OriginError, match="at most 2"):
        taken(*WANTED)
