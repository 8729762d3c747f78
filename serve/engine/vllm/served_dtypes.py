"""Checks what vLLM's workers compute with against config.json. No vLLM in here.

vLLM can serve bfloat16 where a quantised type was asked for, and say nothing. Its workers describe
their model as text, layer by layer with the method that multiplies it (``get_model_inspection``, a
call by name: nothing is pickled); those methods are compared. The bytes
themselves are not seen, and 4 and 8 bits of the weight-only method look alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import UnknownSchemeError
from models.folder import scheme_of
from models.refs import OtherScheme, QuantScheme, Scheme
from serve.engine.vllm.asking import NoAnswerError, answer

_METHODS: Mapping[Scheme, tuple[str, ...]] = {
    QuantScheme.NONE: (),
    QuantScheme.INT8: ("CompressedTensorsWNA16",),
    QuantScheme.INT8_W8A8: ("CompressedTensorsW8A8Int8",),
    QuantScheme.INT8_WEIGHT_ONLY: ("CompressedTensorsWNA16",),
    QuantScheme.INT4: ("CompressedTensorsWNA16",),
    QuantScheme.FP8: ("CompressedTensorsW8A8Fp8", "CompressedTensorsW8A16Fp8"),
    QuantScheme.NF4: ("BitsAndBytesLinearMethod",),
    QuantScheme.BNB_INT8: ("BitsAndBytesLinearMethod",),
    OtherScheme.AWQ: ("AutoAWQMarlinLinearMethod", "AutoAWQLinearMethod"),
    OtherScheme.GPTQ: ("AutoGPTQLinearMethod",),
    OtherScheme.FP8_TENSOR: ("Fp8LinearMethod",),
    OtherScheme.FP8_BLOCK: ("Fp8LinearMethod",),
    OtherScheme.FBGEMM_FP8: ("FBGEMMFp8LinearMethod",),
    OtherScheme.MODELOPT_FP8: ("ModelOptLinearMethod",),
    OtherScheme.MXFP4: ("GptOssMxfp4MoEMethod", "Mxfp4MoEMethod"),
    OtherScheme.BITSANDBYTES: ("BitsAndBytesLinearMethod",),
}
_OF_EXPERTS = frozenset({OtherScheme.MXFP4})
"""Schemes of experts alone: linear layers keep their type."""
_FOUR_BITS = frozenset({OtherScheme.AWQ, OtherScheme.GPTQ})
WORDS: Mapping[Scheme, str] = {
    QuantScheme.INT8: "int8 (W8A{})",
    QuantScheme.INT8_WEIGHT_ONLY: "int8 (W8A{})",
    QuantScheme.INT8_W8A8: "int8 (W8A8)",
    QuantScheme.INT4: "int4 (W4A{})",
    QuantScheme.FP8: "fp8",
    QuantScheme.NF4: "nf4",
    QuantScheme.BNB_INT8: "bnb-int8",
    OtherScheme.AWQ: "awq (W4A{})",
    OtherScheme.GPTQ: "gptq (W4A{})",
    **{scheme: str(scheme) for scheme in OtherScheme if scheme not in _FOUR_BITS},
}
_EXPERTS = re.compile(r"\(\w+\): \w*(?:MoE|Experts)\w*\((?:quant=(\w+))?")
_LAYER = re.compile(r"\((\w+)\): \w*ParallelLinear\((?:quant=(\w+))?")
_HEAD = {"lm_head", "re:.*lm_head", "re:.*lm_head.*"}
_ANSWER_S = 60.0
_SILENT = "vLLM's workers do not say what they have loaded"
_FAILED = "vLLM's workers cannot say what they have loaded"


def scheme_in(folder: Path) -> Scheme | None:
    """The checkpoint's scheme; None for one that has no name here."""
    try:
        return scheme_of(folder)
    except UnknownSchemeError:
        return None


def describe(
    config: Mapping[str, Any], scheme: Scheme | None, dtype: str, *, device: str = "cpu"
) -> str:
    """The type for banner and metrics: ``bfloat16``, or ``int8 (W8A8), bfloat16``.

    On a CPU our own loops multiply packed weights (``packed_kernel.py``), which round
    activations.
    """
    if scheme is QuantScheme.NONE:
        return dtype
    table = config.get("quantization_config")
    method = table.get("quant_method") if isinstance(table, Mapping) else None
    words = WORDS[scheme].format(8 if device == "cpu" else 16) if scheme else method or "quantised"
    return f"{words}, {dtype}"


def fault(text: str, scheme: Scheme, ignore: Sequence[str] = ()) -> str | None:
    """A difference between a worker's model and config.json; None where there is none.

    Args:
        text: the worker's description, of ``get_model_inspection``.
        scheme: of the checkpoint.
        ignore: layers that its config.json leaves as they are. Where it leaves more than the
            output head, plain layers are not an error: vLLM's names are not the checkpoint's.
    """
    methods = _METHODS[scheme]
    if scheme in _OF_EXPERTS:
        return _fault_of_experts(text, scheme)
    layers = Counter((name, method or "no quantisation") for name, method in _LAYER.findall(text))
    allowed = set(methods) | ({"no quantisation"} if not methods or set(ignore) - _HEAD else set())
    wrong = sorted({f"{name} with {method}" for name, method in layers if method not in allowed})
    if wrong:
        return f"vLLM multiplies {', '.join(wrong)}, and the checkpoint is {scheme}"
    if methods and not any(method in methods for _, method in layers):
        return f"vLLM has no layer of {' or '.join(methods)}, and the checkpoint is {scheme}"
    return None


def _fault_of_experts(text: str, scheme: Scheme) -> str | None:
    methods = {method or "no quantisation" for method in _EXPERTS.findall(text)}
    if methods and methods <= set(_METHODS[scheme]):
        return None
    found = ", ".join(sorted(methods)) or "nothing"
    return f"vLLM computes experts with {found}, and the checkpoint is {scheme}"


def ignored(table: Mapping[str, Any]) -> list[str]:
    """The layers that a ``quantization_config`` leaves as they are, whatever its tool calls it."""
    keys = ("ignore", "modules_to_not_convert", "ignored_layers", "exclude_modules", "dynamic")
    return [str(name) for key in keys for name in table.get(key) or ()]


async def check(llm: Any, scheme: Scheme, ignore: Sequence[str]) -> str | None:
    """Ask every worker. Runs in an event loop of its own, as ``lora.preload`` does.

    Args:
        llm: vLLM's ``AsyncLLM``, which has served nothing yet.
        scheme: of the checkpoint.
        ignore: as for ``fault``.

    Returns:
        What is wrong, or None.
    """
    question = llm.collective_rpc("get_model_inspection", _ANSWER_S)
    try:
        texts = await answer(llm, question, _SILENT, _FAILED, _ANSWER_S)
    except NoAnswerError as error:
        return str(error)
    faults = [fault(text, scheme, ignore) for text in texts]
    return next((text for text in faults if text is not None), None)
