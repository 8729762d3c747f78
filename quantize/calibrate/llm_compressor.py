"""GPTQ and AWQ by llmcompressor: the one place that imports it.

It is not installed beside the engines, because it asks for other versions of compressed-tensors and
transformers than they do (requirements/calibrate.in). GPTQ: Frantar et al. 2022. AWQ: Lin et al.
2023. Both go through the model layer by layer, each with what the quantised layers before it say.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from quantize.calibrate.texts import Render
from quantize.errors import OptionError, QuantizeError
from quantize.plan.scheme_plan import SchemePlan
from quantize.protocol import Method

MISSING = (
    "llmcompressor is not installed here: it cannot stand beside the engines, and has an "
    "environment of its own. `make calibrate-env`, then "
    ".venv-calibrate/bin/python -m quantize.calibrate ..."
)


def is_here() -> bool:
    """Whether this environment has llmcompressor."""
    return importlib.util.find_spec("llmcompressor") is not None


def versions() -> Mapping[str, str]:
    """The versions of what makes the weights, for the manifest."""
    return {name: importlib.metadata.version(name) for name in ("llmcompressor", "torch")}


class Reader:
    """The model's own tokenizer."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer  # noqa: PLC0415 - seconds, that --help need not wait

        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )

    @property
    def render(self) -> Render:
        def rendered(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
            try:
                text: str = self._tokenizer.apply_chat_template(
                    messages, tools=tools, tokenize=False
                )
            except (ValueError, TypeError, KeyError) as error:
                raise OptionError(f"--text: its messages cannot be rendered: {error}") from None
            return text

        return rendered

    def tokens(self, parts: Sequence[str]) -> list[int]:
        """All parts, one after the other, as one row."""
        rows = self._tokenizer(list(parts), add_special_tokens=False)["input_ids"]
        return [token for row in rows for token in row]


def calibrate(
    folder: Path,
    into: Path,
    *,
    plan: SchemePlan,
    samples: Sequence[Sequence[int]],
    on_layer: Any,
) -> None:
    """Read the model, quantise it, and write it to ``into`` as compressed-tensors.

    Args:
        folder: of the full weights.
        into: a folder that is made.
        plan: says the method, the numbers, and which layers stay.
        samples: windows of one length.
        on_layer: called with the bytes of each decoder layer's weights, once it is done.

    Raises:
        QuantizeError: llmcompressor cannot do it with this model.
    """
    from llmcompressor import oneshot  # noqa: PLC0415 - as above
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    _quieten()
    _pin_nothing()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        oneshot(
            model=model,
            dataset=_batches(samples),
            recipe=_recipe(plan, on_layer),
            num_calibration_samples=len(samples),
            max_seq_length=len(samples[0]),
            pipeline="sequential",
        )
        model.save_pretrained(into, save_compressed=True)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise QuantizeError(f"llmcompressor cannot calibrate this model: {error}") from error


def _quieten() -> None:
    """No line for each matrix and no bar for each pass: ``on_layer`` says how far it is."""
    import tqdm  # noqa: PLC0415 - as above
    from loguru import logger  # noqa: PLC0415

    logger.remove()
    logger.add(sys.stderr, level="ERROR")  # its figures have a level above warnings
    silent = functools.partialmethod(tqdm.tqdm.__init__, disable=True)
    tqdm.tqdm.__init__ = silent  # as its users do it


def _pin_nothing() -> None:
    """AWQ of llmcompressor 0.14 pins memory for copies to a GPU; without one that fails."""
    from llmcompressor.pipelines.cache import IntermediatesCache  # noqa: PLC0415 - as above

    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = lambda *_, **__: None


def _batches(samples: Sequence[Sequence[int]]) -> Any:
    rows = [
        {"input_ids": torch.tensor(row), "attention_mask": torch.ones(len(row), dtype=torch.long)}
        for row in samples
    ]
    return torch.utils.data.DataLoader(rows, batch_size=1)  # type: ignore[arg-type]  # a list will do


def _recipe(plan: SchemePlan, on_layer: Any) -> list[Any]:
    from llmcompressor.modifiers import Modifier  # noqa: PLC0415 - as above
    from llmcompressor.modifiers.gptq import GPTQModifier  # noqa: PLC0415
    from llmcompressor.modifiers.quantization import QuantizationModifier  # noqa: PLC0415
    from llmcompressor.modifiers.transform.awq import AWQModifier  # noqa: PLC0415

    class LayerDone(Modifier):  # type: ignore[misc]  # of a library without types
        """Quantises nothing; calls ``on_layer`` when a layer is done."""

        def on_initialize(self, state: Any, **kwargs: Any) -> bool:
            del state, kwargs
            return True

        def on_sequential_epoch_end(
            self, state: Any, event: Any, modules: list[torch.nn.Module], **kwargs: Any
        ) -> None:
            del state, event, kwargs
            weights = [module.weight for module in modules if isinstance(module, torch.nn.Linear)]
            on_layer(sum(weight.nbytes for weight in weights))

    table = plan.config["quantization_config"]
    numbers = {"config_groups": table["config_groups"], "ignore": table["ignore"]}
    if plan.method is Method.GPTQ:
        return [GPTQModifier(**numbers), LayerDone()]
    return [AWQModifier(), QuantizationModifier(**numbers), LayerDone()]
