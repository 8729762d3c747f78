"""Poisoned folders. Each differs from a whole one in one file, and is refused for that one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models import policy
from models.errors import ModelNotFoundError, ModelRefusedError
from tests.models.folders import safetensors, whole

Poison = Callable[[Path], object]


def write(name: str, content: str | bytes = b"") -> Poison:
    def poison(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return poison


def config(text: str, name: str = "config.json") -> Poison:
    return write(name, text)


PICKLE = b"\x80\x04cos\nsystem\n(S'touch canary'\ntR."

POISONS: dict[str, tuple[str, Poison]] = {
    "torch pickle": ("pickle", write("pytorch_model.bin", PICKLE)),
    "torch checkpoint": ("pickle", write("consolidated.00.pth", PICKLE)),
    "pickle, upper case": ("pickle", write("MODEL.PKL", PICKLE)),
    "pickle in a subfolder": ("pickle", write("original/x.pt", PICKLE)),
    "numpy archive": ("pickle", write("scales.npz")),
    "code": ("code", write("modeling_x.py", "raise SystemExit")),
    "compiled code": ("code", write("tokenization.so")),
    "code under a licence's name": ("code", write("LICENSE.py")),
    "gguf": ("weights-format", write("model.gguf", b"GGUF")),
    "unknown kind": ("file-type", write("model.exe")),
    "no suffix": ("file-type", write("weights")),
    "hidden file": ("hidden", write(".env", "KEY=1")),
    "auto_map": ("remote-code", config('{"auto_map": {"AutoModel": "m.M"}}')),
    "auto_map, nested": ("remote-code", config('{"text_config": {"auto_map": {}}}')),
    "auto_map, repeated key": ("remote-code", config('{"a": {"auto_map": 1}, "a": {}}')),
    "auto_map, escaped": ("remote-code", config('{"auto_m\\u0061p": {}}')),
    "auto_map of the tokenizer": (
        "remote-code",
        config('{"auto_map": {"AutoTokenizer": ["t.T", null]}}', "tokenizer_config.json"),
    ),
    "kernel from a hub": ("remote-code", config('{"_attn_implementation": "x/kernel"}')),
    "adapter": ("adapter", config("{}", "adapter_config.json")),
    "config that is a list": ("config", config("[]")),
    "config that is no JSON": ("config", config("{")),
    "config too deep": ("config", config("[" * 100_000)),
    "config too large": ("config", config(" " * (policy.MAX_CONFIG_BYTES + 1))),
    "index that leads out": (
        "index",
        write("model.safetensors.index.json", '{"weight_map": {"t": "../x.safetensors"}}'),
    ),
    "index that is a list": ("index", write("model.safetensors.index.json", "[]")),
    "pickle as safetensors": ("safetensors", write("m.safetensors", PICKLE)),
    "empty safetensors": ("safetensors", write("m.safetensors")),
    "Git LFS pointer": ("safetensors", write("m.safetensors", "version https://git-lfs.g")),
    "cut short": ("safetensors", write("m.safetensors", safetensors()[:-1])),
    "hidden tail": ("safetensors", write("m.safetensors", safetensors() + b"x")),
    "header length absurd": ("safetensors", write("m.safetensors", b"\xff" * 8 + b"{}")),
    "header no JSON": ("safetensors", write("m.safetensors", b"\x02" + bytes(7) + b"{[")),
    "overlapping tensors": (
        "safetensors",
        write(
            "m.safetensors",
            safetensors(u={"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}),
        ),
    ),
    "tensor without a type": (
        "safetensors",
        write("m.safetensors", safetensors(t={"data_offsets": [0, 8]})),
    ),
    "link to a file": ("symlink", lambda f: (f / "x.json").symlink_to("/etc/hostname")),
    "link within the folder": ("symlink", lambda f: (f / "x.json").symlink_to("config.json")),
    "link to a folder": ("symlink", lambda f: (f / "sub").symlink_to("/etc")),
    "link in place of bookkeeping": ("symlink", lambda f: (f / ".cache").symlink_to("/etc")),
    "dangling link": ("symlink", lambda f: (f / "x.json").symlink_to("nowhere")),
    "pipe": ("special-file", lambda f: os.mkfifo(f / "x.json")),
    "too deep": ("depth", lambda f: (f / "a/b/c/d").mkdir(parents=True)),
}


@pytest.mark.parametrize("name", POISONS)
def test_poisoned_folder_is_refused_by_its_rule(tmp_path, name):
    rule, poison = POISONS[name]
    folder = whole(tmp_path / "m")
    poison(folder)
    refusals = list(policy.inspect(folder))
    assert [refusal.rule for refusal in refusals] == [rule]
    with pytest.raises(ModelRefusedError, match=rule) as refused:
        policy.check(folder)
    assert refusals[0].file in str(refused.value)


def test_whole_folders_pass(tmp_path):
    folder = whole(tmp_path / "m")
    for name in ("LICENSE", "NOTICE", "README.md", "merges.txt", "chat_template.jinja"):
        (folder / name).write_text("text")
    (folder / "vocab.json").write_text(json.dumps({"auto_map": 7}))  # a word, not a setting
    write(".cache/huggingface/download/x.lock")(folder)
    write(".gitattributes")(folder)
    policy.check(folder)


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(policy, "MAX_FILES", 2)
    with pytest.raises(ModelRefusedError, match="size"):
        policy.check(whole(tmp_path / "m"))


def test_message_is_bounded_and_counts_the_rest(tmp_path):
    folder = whole(tmp_path / "m")
    for number in range(policy.MAX_SHOWN + 3):
        (folder / f"{number:02}.py").touch()
    with pytest.raises(ModelRefusedError, match="and 3 more"):
        policy.check(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        policy.check(tmp_path / "nowhere")


def test_the_check_imports_no_loader(tmp_path):
    """What would parse the folder is not even in the process when it is refused."""
    folder = whole(tmp_path / "m")
    (folder / "x.py").touch()
    program = (
        "import sys\nfrom pathlib import Path\nfrom models.store import resolve\n"
        "from models.errors import ModelRefusedError\n"
        "try:\n    resolve(sys.argv[1], Path(sys.argv[1]))\n"
        "except ModelRefusedError:\n"
        "    print(sorted({'torch', 'transformers', 'safetensors', 'pickle'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
