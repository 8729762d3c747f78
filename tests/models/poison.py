"""Poisoned model folders: each a whole one with one thing wrong. A table, so over 300 lines.

``POISONS`` maps a name to the rule that must refuse the folder, the file that must be named, and a
function that makes the change. Payloads are live: given to a loader that obeys them, they touch
the canary. Nothing here is run by the tests but by ``test_the_payloads_are_live``.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.rules.content import MAX_CONFIG_BYTES
from tests.models.folders import safetensors

Make = Callable[[Path, Path], object]


@dataclass(frozen=True, slots=True)
class Poison:
    """``make(folder, canary)`` poisons a whole folder; ``rule`` must refuse ``file``."""

    rule: str
    file: str
    make: Make


class _Touch:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {shlex.quote(str(self.canary))}",)


def pickled(canary: Path, protocol: int = 4) -> bytes:
    """A pickle that touches the canary when it is loaded."""
    return pickle.dumps(_Touch(canary), protocol)


def zipped(canary: Path) -> bytes:
    """The same as torch saves it: a zip with a pickle within."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(canary, 2))
    return buffer.getvalue()


def code(canary: Path) -> str:
    return f"from pathlib import Path\nPath({str(canary)!r}).touch()\n"


def template(canary: Path) -> str:
    """Touches the canary in an environment that is no sandbox."""
    command = f"touch {shlex.quote(str(canary))}"
    return "{{ cycler.__init__.__globals__.os.popen(" + json.dumps(command) + ").read() }}"


def put(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def wrote(rule: str, name: str, content: str | bytes = b"") -> Poison:
    return Poison(rule, name, lambda folder, _: put(folder, name, content))


def live(rule: str, name: str, content: Callable[[Path], str | bytes]) -> Poison:
    return Poison(rule, name, lambda folder, canary: put(folder, name, content(canary)))


def config(rule: str, text: str, name: str = "config.json") -> Poison:
    return wrote(rule, name, text)


def tensors(**header: object) -> Poison:
    return wrote("safetensors", "m.safetensors", safetensors(**header))


def chat(source: str) -> Poison:
    return wrote("template", "chat_template.jinja", source)


def _with_auto_map(folder: Path, canary: Path) -> None:
    put(folder, "config.json", '{"auto_map": {"AutoModel": "modeling_x.X"}}')
    put(folder, ".cache/modeling_x.py", code(canary))  # bookkeeping is passed over


def _index(folder: Path, weight_map: object, **files: bytes) -> None:
    for name, content in files.items():
        put(folder, name.replace("_", "-") + ".safetensors", content)
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    put(folder, INDEX, json.dumps({"weight_map": weight_map}))


def index(weight_map: object, **files: bytes) -> Poison:
    return Poison("index", INDEX, lambda folder, _: _index(folder, weight_map, **files))


def _case_twins(folder: Path, _: Path) -> None:
    put(folder, "readme.md", "a")
    put(folder, "README.md", "b")


def _unicode_twins(folder: Path, _: Path) -> None:
    put(folder, "ﬁle.txt", "a")
    put(folder, "file.txt", "b")


INDEX = "model.safetensors.index.json"
OTHER = safetensors(u={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]})
U8 = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}

FILES: dict[str, Poison] = {
    "torch pickle": live("pickle", "pytorch_model.bin", pickled),
    "torch zip": live("pickle", "model.pt", zipped),
    "torch checkpoint": live("pickle", "consolidated.00.pth", zipped),
    "pickle, upper case": live("pickle", "MODEL.PKL", pickled),
    "pickle in a subfolder": live("pickle", "original/x.pt", pickled),
    "joblib": live("pickle", "scaler.joblib", pickled),
    "numpy archive": wrote("pickle", "scales.npz"),
    "code": live("code", "modeling_x.py", code),
    "code as a package": live("code", "custom_generate/generate.py", code),
    "compiled code": wrote("code", "tokenization.so"),
    "code under a licence's name": live("code", "LICENSE.py", code),
    "import hook": wrote("file-type", "site.pth.txt.cfg"),
    "gguf": wrote("weights-format", "model.gguf", b"GGUF"),
    "unknown kind": wrote("file-type", "model.exe"),
    "yaml": wrote("file-type", "config.yaml", "!!python/object/apply:os.system ['true']"),
    "no suffix": wrote("file-type", "weights"),
    "signature in a subfolder": wrote("file-type", "sub/model.sig", "{}"),
    "hidden file": wrote("hidden", ".env", "KEY=1"),
    "link to a file": Poison("symlink", "x.json", lambda f, _: (f / "x.json").symlink_to("/etc")),
    "link within the folder": Poison(
        "symlink", "x.json", lambda f, _: (f / "x.json").symlink_to("config.json")
    ),
    "link to a folder": Poison("symlink", "sub", lambda f, _: (f / "sub").symlink_to("/etc")),
    "link in place of bookkeeping": Poison(
        "symlink", ".cache", lambda f, _: (f / ".cache").symlink_to("/etc")
    ),
    "dangling link": Poison("symlink", "x.json", lambda f, _: (f / "x.json").symlink_to("none")),
    "pipe": Poison("special-file", "x.json", lambda f, _: os.mkfifo(f / "x.json")),
    "too deep": Poison("depth", "a/b/c/d", lambda f, _: (f / "a/b/c/d").mkdir(parents=True)),
    "names that differ in case": Poison("name", "readme.md", _case_twins),
    "names that differ in form": Poison("name", "ﬁle.txt", _unicode_twins),
    "name in decomposed form": wrote("name", "e\u0301.txt"),
    "name with a backslash": wrote("name", "..\\x.json", "{}"),
    "name with a line break": wrote("name", "a\nb.json", "{}"),
    "name that is no UTF-8": wrote("name", "\udcff.json", "{}"),
    "name that steers a terminal": wrote("name", "\x1b[2Jx.json", "{}"),
    "name that reads backwards": wrote("name", "a\u202enosj.json", "{}"),
}

DISGUISES: dict[str, Poison] = {
    "pickle as safetensors": live("disguised", "m.safetensors", pickled),
    "zip as safetensors": live("disguised", "m.safetensors", zipped),
    "pickle as JSON": live("disguised", "config.json", pickled),
    "old pickle as text": live("disguised", "merges.txt", lambda c: pickled(c, 0)),
    "pickle of protocol 1 as text": live("disguised", "merges.txt", lambda c: pickled(c, 1)),
    "zip as a vocabulary": live("disguised", "vocab.txt", zipped),
    "gzip as JSON": wrote("disguised", "tokenizer.json", b"\x1f\x8b\x08\x00"),
    "program as a licence": wrote("disguised", "LICENSE", b"\x7fELF\x02\x01\x01"),
    "script as a page": wrote("disguised", "README.md", "#!/bin/sh\ntouch x\n"),
    "pickle as a tokenizer": live("disguised", "tokenizer.model", pickled),
    "binary as text": wrote("text", "merges.txt", b"a\x00b"),
    "text of another encoding": wrote("text", "vocab.txt", "naïve".encode("latin-1")),
}

CONFIGS: dict[str, Poison] = {
    "auto_map": Poison("remote-code", "config.json", _with_auto_map),
    "auto_map, nested": config("remote-code", '{"text_config": {"auto_map": {}}}'),
    "auto_map, in a list": config("remote-code", '{"a": [[{"b": [{"auto_map": 1}]}]]}'),
    "auto_map, repeated key": config("remote-code", '{"a": {"auto_map": 1}, "a": {}}'),
    "auto_map, escaped": config("remote-code", '{"auto_m\\u0061p": {}}'),
    "auto_map of the tokenizer": config(
        "remote-code", '{"auto_map": {"AutoTokenizer": ["t.T", null]}}', "tokenizer_config.json"
    ),
    "auto_map of a processor": config(
        "remote-code", '{"auto_map": {"AutoProcessor": "p.P"}}', "preprocessor_config.json"
    ),
    "code for generation": config(
        "remote-code", '{"custom_generate": "org/repo"}', "generation_config.json"
    ),
    "code that is trusted": config("remote-code", '{"trust_remote_code": true}'),
    "kernel from a hub": config("remote-code", '{"_attn_implementation": "org/kernel"}'),
    "kernel for one part": config(
        "remote-code", '{"attn_implementation": {"text_config": "org/kernel:f"}}'
    ),
    "class by its path": config("remote-code", '{"architectures": ["x.y:Model"]}'),
    "tokenizer class by its path": config(
        "remote-code", '{"tokenizer_class": "../t.T"}', "tokenizer_config.json"
    ),
    "kind of model as a path": config("remote-code", '{"model_type": "../../x"}'),
    "quantisation that imports": config(
        "remote-code", '{"quantization_config": {"quant_method": "x", "loader": "m:f"}}'
    ),
    "quantisation with a file": config(
        "remote-code", '{"quantization_config": {"groups": [{"scales_path": "/x/y"}]}}'
    ),
    "object to make": config("remote-code", '{"model": {"_target_": "os.system"}}'),
    "another base model": config("fetch", '{"base_model": "org/other"}'),
    "another draft model": config("fetch", '{"speculative_config": {"model": "org/draft"}}'),
    "another tokenizer file": config(
        "fetch", '{"tokenizer_file": "/etc/passwd"}', "tokenizer_config.json"
    ),
    "tokenizer files that lead out": config(
        "fetch", '{"fast_tokenizer_files": ["../../t.json"]}', "tokenizer_config.json"
    ),
    "weights elsewhere": config("fetch", '{"transformers_weights": "../x.safetensors"}'),
    "another backbone": config("fetch", '{"backbone": "org/resnet"}'),
    "adapter": config("adapter", "{}", "adapter_config.json"),
    "config that is a list": config("config", "[]"),
    "config that is no JSON": config("config", "{"),
    "config too deep": config("config", "[" * 100_000),
    "config a little too deep": config("config", '{"a":' * 80 + "1" + "}" * 80),
    "config too large": config("config", " " * (MAX_CONFIG_BYTES + 1)),
    "config that says two things": config("config", '{"hidden_size": 1, "hidden_size": 2}'),
    "config of another encoding": wrote("config", "config.json", "{}".encode("utf-16")),
    "tokenizer in another file": config(
        "tokenizer", '{"model": {"type": "BPE", "vocab": "/etc/passwd"}}', "tokenizer.json"
    ),
    "tokenizer that is a list": config("tokenizer", "[]", "tokenizer.json"),
    "tokenizer that says two things": config(
        "tokenizer", '{"model": {"vocab": {"a": 1, "a": 2}}}', "tokenizer.json"
    ),
}

WEIGHTS: dict[str, Poison] = {
    "empty safetensors": wrote("safetensors", "m.safetensors"),
    "Git LFS pointer": wrote("safetensors", "m.safetensors", "version https://git-lfs.g"),
    "cut short": wrote("safetensors", "m.safetensors", safetensors()[:-1]),
    "hidden tail": wrote("safetensors", "m.safetensors", safetensors() + b"x"),
    "header length absurd": wrote("safetensors", "m.safetensors", b"\xff" * 8 + b"{}"),
    "header no JSON": wrote("safetensors", "m.safetensors", b"\x02" + bytes(7) + b"{["),
    "header too deep": wrote(
        "safetensors", "m.safetensors", (100_001).to_bytes(8, "little") + b"{" + b"[" * 100_000
    ),
    "header of another encoding": wrote(
        "safetensors", "m.safetensors", b"\x05" + bytes(7) + b'{"\xff"' + b"}"
    ),
    "header with a tensor twice": wrote(
        "safetensors",
        "m.safetensors",
        (len(raw := b'{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{}}')).to_bytes(
            8, "little"
        )
        + raw,
    ),
    "overlapping tensors": tensors(u=U8),
    "gap between tensors": tensors(t=U8 | {"shape": [7], "data_offsets": [1, 8]}),
    "offsets beyond the file": tensors(t=U8 | {"shape": [1 << 40], "data_offsets": [0, 1 << 40]}),
    "offsets below zero": tensors(t=U8 | {"data_offsets": [-8, 8]}),
    "shape that lies": tensors(t=U8 | {"shape": [9]}),
    "shape below zero": tensors(t=U8 | {"shape": [-2, -4]}),
    "shape that overflows": tensors(t=U8 | {"shape": [1 << 62, 1 << 62, 0, 4]} | {"dtype": "F9"}),
    "unknown type of number": tensors(t=U8 | {"dtype": "OBJECT"}),
    "tensor without a type": tensors(t={"data_offsets": [0, 8]}),
    "metadata that is no text": tensors(__metadata__={"format": {"x": 1}}),
    "index that leads out": index({"t": "../x.safetensors"}),
    "index with an absolute path": index({"t": "/etc/x.safetensors"}),
    "index with a backslash": index({"t": "..\\x.safetensors"}),
    "index with a NUL": index({"t": "a.safetensors\0.bin"}),
    "index of a pickle": index({"t": "pytorch_model-1.bin"}),
    "index of a missing shard": index({"t": "b.safetensors"}),
    "index of a missing tensor": index({"t": "a.safetensors", "u": "a.safetensors"}),
    "index of the wrong shard": index(
        {"t": "a.safetensors", "u": "a.safetensors"},
        b=OTHER[:8] + OTHER[8:].replace(b'"t"', b'"v"'),
    ),
    "index of a tensor in two shards": index({"t": "a.safetensors", "u": "b.safetensors"}, b=OTHER),
    "index that is a list": wrote("index", INDEX, "[]"),
    "index without a map": wrote("index", INDEX, '{"weight_map": []}'),
    "index beside a single file": Poison(
        "index",
        INDEX,
        lambda folder, _: (
            put(folder, "b.safetensors", safetensors()),
            put(folder, INDEX, '{"weight_map": {"t": "b.safetensors"}}'),
        ),
    ),
}

TEMPLATES: dict[str, Poison] = {
    "template that runs a program": live("template", "chat_template.jinja", template),
    "template in the tokenizer's config": live(
        "template", "tokenizer_config.json", lambda c: json.dumps({"chat_template": template(c)})
    ),
    "template among several": live(
        "template",
        "tokenizer_config.json",
        lambda c: json.dumps({"chat_template": [{"name": "x", "template": template(c)}]}),
    ),
    "template of the processor": live(
        "template", "chat_template.json", lambda c: json.dumps({"chat_template": template(c)})
    ),
    "template for tools": live("template", "additional_chat_templates/tool_use.jinja", template),
    "template that is a table": config(
        "template", '{"chat_template": {"default": 7}}', "tokenizer_config.json"
    ),
    "attribute by subscript": chat("{{ messages['__class__'] }}"),
    "attribute in two halves": chat("{{ messages['__cla' ~ 'ss__'] }}"),
    "attribute by a filter": chat("{{ messages|attr('__class__') }}"),
    "attribute chosen late": chat("{{ messages|attr(messages[0].content) }}"),
    "attribute by map": chat("{{ messages|map(attribute='__class__')|list }}"),
    "attribute by the filter in map": chat("{{ messages|map('attr', '__class__')|list }}"),
    "attribute in a format": chat("{{ '{0.__class__}'.format(messages) }}"),
    "other template": chat("{% include messages[0].content %}"),
    "parent template": chat("{% extends 'x' %}"),
    "macros of another template": chat("{% from 'x' import y %}"),
    "unknown function": chat("{{ open('/etc/passwd') }}"),
    "function of Jinja's that is not for prompts": chat("{{ lipsum(n=9) }}"),
    "unknown filter": chat("{{ messages|shell }}"),
    "unknown tag": chat("{% do messages %}"),
    "list that is changed": chat("{{ messages.append(1) }}"),
    "endless range": chat("{% for i in range(10 ** 9) %}x{% endfor %}"),
    "ranges within ranges": chat(
        "{% for i in range(999) %}{% for j in range(999) %}x{% endfor %}{% endfor %}"
    ),
    "text of a gigabyte": chat("{{ 'a' * 10 ** 9 }}"),
    "power of powers": chat("{{ 9 ** 9 ** 9 }}"),
    "wide format": chat("{{ '%999999999d' | format(1) }}"),
    "wide padding": chat("{{ 'a' | center(999999999) }}"),
    "replacements that explode": chat(
        "{{ 'a'" + f"|replace('a', '{'a' * 500}')" * 4 + " }}",
    ),
    "text that doubles": chat("{% for m in messages %}{% set n.x = n.x ~ n.x %}{% endfor %}"),
    "template too deep": chat("{{ " + "[" * 300 + "]" * 300 + " }}"),
    "template too large": chat("x" * 300_000),
    "template of another encoding": wrote("template", "chat_template.jinja", b"\xff\xfe"),
}

POISONS = FILES | DISGUISES | CONFIGS | WEIGHTS | TEMPLATES
