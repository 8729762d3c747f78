"""Quantised checkpoints in the transformers engine: logits, the contract, memory, refusals."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models.refs import QuantScheme
from serve.engine import compressed_loading, loading, model_files, served_dtypes
from serve.engine.batching.quantized_linear import QuantizedLinear
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.stored_scheme import RUNS, WORDS, promise_of
from serve.errors import EngineDeadError, StartupError
from tests.contracts.engine import EngineContract, Kill, prompt_of, request, tokens
from tests.quantized_models import write_dequantised, write_quantized
from tests.tiny_models import write_tiny_model

BOUNDS = {
    QuantScheme.INT8: 0.09,
    QuantScheme.INT8_WEIGHT_ONLY: 1e-3,
    QuantScheme.INT4: 1e-3,
    QuantScheme.NF4: 1e-3,
    QuantScheme.BNB_INT8: 0.09,
}
"""Relative distance of logits from the dequantised forward: W8A8 rounds activations, too."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By scheme, from a Qwen2 of bfloat16."""
    root = tmp_path_factory.mktemp("quantized")
    source = write_tiny_model(root / "full", dtype="bfloat16")
    return {"none": source} | {
        scheme: write_quantized(source, root / scheme, scheme) for scheme in RUNS
    }


@pytest.fixture
def int8(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["int8"], tmp_path / "copy"))


def load(folder: Path, **settings: Any) -> Any:
    return loading.load_model(
        folder,
        loading.read_config(folder),
        settings=EngineSettings(**settings),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )


def logits(model: Any, length: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([prompt_of(length)]), use_cache=False).logits[0].double()


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def refuse(folder: Path, match: str) -> None:
    with pytest.raises(StartupError, match=match):
        build("transformers", folder, EngineSettings(), lambda *_: None)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def quantization(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())["quantization_config"]


@pytest.mark.parametrize("scheme", RUNS)
@pytest.mark.parametrize("architecture", ["qwen2", "gemma3_text", "phi3"])
def test_logits_are_those_of_the_dequantised_weights(
    tmp_path: Path, scheme: QuantScheme, architecture: str
) -> None:
    source = write_tiny_model(tmp_path / "full", architecture)
    folder = write_quantized(source, tmp_path / "small", scheme)
    reference = AutoModelForCausalLM.from_pretrained(
        write_dequantised(folder, tmp_path / "again"), attn_implementation="eager"
    ).eval()
    model = load(folder, dtype="float32")
    for length in (1, 8, 300):  # both of int4's ways
        assert distance(logits(model, length), logits(reference, length)) < BOUNDS[scheme]


@pytest.mark.parametrize(
    ("scheme", "bound"), [("int8", 0.15), ("int8-weight-only", 0.1), ("bnb-int8", 0.15)]
)
def test_logits_are_near_those_in_bfloat16(
    folders: dict[str, Path], scheme: str, bound: float
) -> None:
    """Bounds for noise of this size as weights; a trained model's are in the quality report."""
    full, small = load(folders["none"]), load(folders[scheme])
    assert distance(logits(small, 64), logits(full, 64)) < bound


@pytest.mark.parametrize("scheme", RUNS)
def test_no_weight_is_held_twice_and_the_bytes_are_told(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    model = load(folders[scheme])
    held = served_dtypes.held(model)
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    is_fused = scheme not in (QuantScheme.NF4, QuantScheme.BNB_INT8)
    assert len(layers) == 2 * (4 if is_fused else 7)  # q, k and v are one, gate and up too
    weights = sum(layer.in_features * layer.out_features for layer in layers)
    kind = type(layers[0]).__name__
    stored = str(scheme) if scheme in {QuantScheme.INT4, QuantScheme.NF4} else "int8"
    assert held[kind][stored] == (weights if stored == "int8" else weights // 2)
    assert "Linear" not in held
    files = model_files.weight_files(folders[scheme]).total_bytes
    texts = 4_000  # shapes, levels and what else is read once and not kept
    assert files - texts <= served_dtypes.resident_bytes(model) <= files + 40_000
    assert not any(p.dtype is torch.bfloat16 and p.ndim == 2 for p in layers[0].parameters())
    assert served_dtypes.num_parameters(load(folders["none"])) == (
        served_dtypes.num_parameters(load(folders[scheme]))
    )


@pytest.mark.parametrize("scheme", RUNS)
async def test_the_engine_says_what_it_serves(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    engine = build("transformers", folders[scheme], EngineSettings(), lambda *_: None)
    assert engine.info.dtype == f"{WORDS[scheme]}, bfloat16"
    long = prompt_of(200)
    assert len(await tokens(engine, request(long, max_tokens=5))) == 5
    await engine.close()


def test_a_quantised_head_is_untied(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = write_quantized(folders["none"], tmp_path / "head", QuantScheme.INT8, has_head=True)
    model = load(folder)
    assert isinstance(model.get_output_embeddings(), QuantizedLinear)
    served_dtypes.check(model, loading.read_promise(folder))
    assert distance(logits(model, 40), logits(load(folders["none"]), 40)) < 0.15


# What was promised and is not there


def test_layers_that_are_not_what_was_promised_end_the_start(
    int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compressed_loading._layer

    def decompressing(stored: Any, promise: Any) -> Any:
        layer = real(stored, promise)
        if layer.in_features != 256:  # down_proj's
            return layer
        return torch.nn.Linear(layer.in_features, layer.out_features, bias=False).bfloat16()

    monkeypatch.setattr(compressed_loading, "_layer", decompressing)
    refuse(int8, r"not what config.json says \(int8\): 2 layers.*down_proj is bfloat16, not int8")


def test_fused_layers_that_are_not_what_was_promised_end_the_start(
    int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compressed_loading._layer

    def decompressing(stored: Any, promise: Any) -> Any:
        layer = real(stored, promise)
        if layer.out_features != 512:  # gate and up
            return layer
        return torch.nn.Linear(layer.in_features, layer.out_features, bias=False).bfloat16()

    monkeypatch.setattr(compressed_loading, "_layer", decompressing)
    refuse(int8, r"\(int8\): 4 layers differ, first .*gate_proj is bfloat16, not int8")


def test_a_quantised_layer_that_should_be_plain(int8: Path) -> None:
    name = "model.layers.0.self_attn.q_proj"
    edit(int8, quantization_config=quantization(int8) | {"ignore": ["lm_head", name]})
    refuse(int8, "q_proj is int8 .W8A8., not as stored")


def test_a_promise_that_no_layer_keeps(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["none"], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folders["int8"]))
    refuse(folder, "layers differ")
    edit(folder, quantization_config=quantization(folders["int8"]) | {"ignore": ["re:.*"]})
    refuse(folder, "no layer is quantised")


def test_broken_weights_are_named(int8: Path) -> None:
    path = int8 / "model.safetensors"
    whole = load_file(path)
    name = "model.layers.0.mlp.up_proj"

    def refused(match: str, **changes: torch.Tensor | None) -> None:
        tensors = whole | {f"{name}.{part}": tensor for part, tensor in changes.items()}
        save_file({k: v for k, v in tensors.items() if v is not None}, path)
        refuse(int8, match)

    refused("missing, .*up_proj.weight", weight=None)
    refused("up_proj.weight is torch.int8 of .*, not torch.int8", weight=torch.zeros(9, 128).char())
    refused("up_proj.weight is torch.float32", weight=torch.zeros(256, 128))
    refused("1 weights have no place", g_idx=torch.zeros(3))
    refused("layers differ, first .*up_proj is bfloat16", weight_scale=None)


# What is refused


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weights": {"num_bits": 8, "type": "float"}}, "fp8 .*Take --quant int8"),
        ({"targets": ["re:.*mlp.*"]}, "not all linear layers"),
        ({"input_activations": {"num_bits": 8, "type": "int", "dynamic": False}}, "activations"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_that_it_would_get_wrong(int8: Path, changes: dict[str, Any], match: str) -> None:
    quant = quantization(int8)
    quant["config_groups"]["group_0"] |= changes
    edit(int8, quantization_config=quant)
    refuse(int8, match)


@pytest.mark.parametrize(
    "changes", [{"symmetric": False}, {"strategy": "tensor"}, {"actorder": "group"}], ids=str
)
def test_weights_that_it_would_get_wrong(int8: Path, changes: dict[str, Any]) -> None:
    quant = quantization(int8)
    quant["config_groups"]["group_0"]["weights"] |= changes
    edit(int8, quantization_config=quant)
    refuse(int8, "Make it anew: python -m quantize --scheme int8")


@pytest.mark.parametrize(
    ("scheme", "changes", "match"),
    [
        ("nf4", {"bnb_4bit_use_double_quant": True}, "scales are quantised too"),
        ("bnb-int8", {"llm_int8_threshold": 6.0}, "outliers would be computed in 16 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_bitsandbytes_would_compute_otherwise(
    folders: dict[str, Path], tmp_path: Path, scheme: str, changes: dict[str, Any], match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folder) | changes)
    refuse(folder, f"{match}.*python -m quantize --scheme {scheme}")


@pytest.mark.parametrize(
    ("scheme", "part", "other", "match"),
    [
        ("nf4", "weight", torch.zeros(5, 1).byte(), "weight is torch.uint8 of 5 numbers"),
        ("nf4", "weight.absmax", torch.zeros(512).half(), "absmax is torch.float16"),
        ("nf4", "weight.quant_map", torch.zeros(16), "other levels than nf4"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", torch.zeros(3).byte(), "quant_type None"),
        ("bnb-int8", "weight", torch.zeros(9, 128).char(), "weight is torch.int8 of .9, 128."),
        ("bnb-int8", "SCB", torch.zeros(9), "SCB is torch.float32 of 9 numbers, not"),
        ("bnb-int8", "weight_format", torch.tensor(1).byte(), "not 0: row by row"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_of_bitsandbytes_that_are_broken_are_named(
    folders: dict[str, Path], tmp_path: Path, *, scheme: str, part: str, other: Any, match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    tensors = load_file(folder / "model.safetensors")
    tensors[f"model.layers.0.mlp.up_proj.{part}"] = other
    save_file(tensors, folder / "model.safetensors")
    refuse(folder, f"up_proj.*{match}")


def test_modules_that_bitsandbytes_skips_are_ignored_wherever_they_are(
    folders: dict[str, Path],
) -> None:
    config = json.loads((folders["nf4"] / "config.json").read_text())
    table = config["quantization_config"]
    for skipped, ignored in ((["mlp"], {"model.layers.0.mlp.up_proj"}), (None, {"lm_head"})):
        promise = promise_of(
            folders["nf4"],
            config | {"quantization_config": table | {"llm_int8_skip_modules": skipped}},
        )
        assert promise is not None
        names = {"lm_head", "model.layers.0.mlp.up_proj", "model.layers.0.mlp2.up_proj"}
        assert {name for name in names if not promise.covers(name)} == ignored


def test_names_and_expressions_are_ignored(int8: Path) -> None:
    config = json.loads((int8 / "config.json").read_text())
    config["quantization_config"]["ignore"] = ["lm_head", r"re:.*\.0\."]
    promise = promise_of(int8, config)
    assert promise is not None
    covered = [
        name for name in ("lm_head", "model.layers.0.a", "model.layers.1.a") if promise.covers(name)
    ]
    assert covered == ["model.layers.1.a"]


# The contract


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    engines: dict[str, Engine] = {}
    yield engines
    for engine in engines.values():
        asyncio.run(engine.close())


class TestQuantizedContract(EngineContract):
    @pytest.fixture(params=["int8", "int4", "nf4"])
    async def engine(
        self,
        request: pytest.FixtureRequest,
        folders: dict[str, Path],
        engines: dict[str, Engine],
    ) -> Engine:
        name: str = request.param
        # In float32: two ways to batch a token must not differ by a rounding of bfloat16.
        settings = EngineSettings(max_num_seqs=8, max_model_len=512, dtype="float32")
        try:
            await engines[name].check_health()
        except (KeyError, EngineDeadError):  # the first test, or one that killed it
            engines[name] = build("transformers", folders[name], settings, lambda *_: None)
        return engines[name]

    @pytest.fixture
    def kill(self) -> Kill:
        def break_the_step(engine: Engine) -> None:
            engine._steps._step = None  # type: ignore[attr-defined]

        return break_the_step
