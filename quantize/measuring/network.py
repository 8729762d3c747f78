"""The modules of a model without its weights: each is read when the forward reaches it.

They are transformers' own, built from config.json with parameters that take no memory, so any
decoder works that transformers knows. In place of each linear layer stands one that asks for its
product; of an embedding those rows are read that the text has; what else there is (norms, biases)
is small and read at the beginning.

The head is not run: head.py goes through it by rows of the vocabulary, because all logits at once
would be more than all else together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from models import stored_config
from models.errors import ModelRefusedError
from quantize import described_model, transformers_config
from quantize.errors import QuantizeError
from quantize.measuring.matrices import Folder, Matrix
from quantize.meta_parameters import no_parameter_memory
from quantize.write import result

Multiply = Callable[[str, torch.Tensor], torch.Tensor]
"""A layer's name and its inputs, float32 ``[n, num_in]`` → products ``[n, num_out]``, no bias."""

_MOST_SMALL = 1 << 22
"""Numbers of a parameter that is held for a whole forward."""


class Network:
    """The modules of a model. Not for two threads at once.

    Args:
        path: of a model folder, for its configuration.

    Raises:
        QuantizeError: transformers knows no such model, or it has large weights in other layers
            than linear ones and embeddings.
    """

    def __init__(self, path: Path) -> None:
        config = _config(path)
        text = config.get_text_config()
        # Blockwise attention does not know capped scores; the plain one holds whole windows.
        is_capped = getattr(text, "attn_logit_softcapping", None) is not None
        with no_parameter_memory():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation="eager" if is_capped else "sdpa"
            )
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._now = _Now()
        self._final = _final(text)
        self.num_positions: int = getattr(text, "max_position_embeddings", None) or 4096
        self._products: list[str] = []
        self._small: list[tuple[nn.Module, str, str]] = []
        names = {id(module): name for name, module in model.named_modules()}
        self._head = names[id(model.get_output_embeddings())]
        self._table = names[id(model.get_input_embeddings())]
        linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
        self.widest = max(
            max(linear.in_features, linear.out_features)
            for linear in linears
            if linear is not model.get_output_embeddings()
        )
        for name, module in [*model.named_modules()]:
            if name != self._head:
                self._prepare(name, module, path)

    def forward(self, folder: Folder, tokens: torch.Tensor, multiply: Multiply) -> torch.Tensor:
        """The hidden states behind the last norm, float32 ``[windows, length, hidden]``.

        Args:
            folder: of the weights.
            tokens: ``[windows, length]``; what fills a window up stands at its end.
            multiply: computes the linear layers.

        Raises:
            QuantizeError: the folder lacks a weight.
        """
        for module, leaf, name in self._small:
            value = nn.Parameter(folder.tensor(name), requires_grad=False)
            module.register_parameter(leaf, value)
        self._now.folder, self._now.multiply = folder, multiply
        with torch.inference_mode():
            body: nn.Module = self._model.base_model
            hidden: torch.Tensor = body(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden

    def read_bytes(self, folder: Folder) -> int:
        """The bytes that a forward and the head read; of the embedding it is a few rows."""
        names = [*self._products, self.head_of(folder)[0]]
        return sum(folder.matrix(name).num_bytes for name in names)

    def head_of(self, folder: Folder) -> tuple[str, Matrix]:
        """The name and the matrix of the module that makes logits of hidden states."""
        name = self._head if folder.has(self._head) else self._table
        return name, folder.matrix(name)

    def logits(self, products: torch.Tensor) -> torch.Tensor:
        """The logits from the head's products, in place: capped or scaled as the model does."""
        return self._final(products)

    def _prepare(self, name: str, module: nn.Module, path: Path) -> None:
        if isinstance(module, nn.Linear):
            place = _Product(name, self._now, has_bias=module.bias is not None)
            self._model.set_submodule(name, place)
            self._products.append(name)
            if module.bias is not None:
                self._small.append((place, "bias", f"{name}.bias"))
            return
        if isinstance(module, nn.Embedding):
            _look_up_rows(name, module, self._now)
            return
        for leaf, value in module.named_parameters(recurse=False):
            if value.numel() > _MOST_SMALL:
                raise QuantizeError(f"{path.name}: {name}.{leaf} is of no kind that is streamed.")
            self._small.append((module, leaf, f"{name}.{leaf}"))


@dataclass(slots=True)
class _Now:
    """The folder and the product that the modules use in the forward that runs."""

    folder: Folder | None = None
    multiply: Multiply | None = None


class _Product(nn.Module):
    """Stands for a linear layer."""

    bias: nn.Parameter

    def __init__(self, name: str, now: _Now, *, has_bias: bool) -> None:
        super().__init__()
        self._name = name
        self._now = now
        self.register_parameter("bias", None)
        self._has_bias = has_bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self._now.multiply is None:
            raise RuntimeError("outside of Network.forward")
        products = self._now.multiply(self._name, inputs.reshape(-1, inputs.shape[-1]))
        if self._has_bias:
            products += self.bias
        return products.view(*inputs.shape[:-1], -1)


def _look_up_rows(name: str, module: nn.Embedding, now: _Now) -> None:
    """Give an embedding the rows that it is asked for, for as long as it computes.

    Hooks and not a module of ours: families scale what comes out in classes of their own.
    """
    module.padding_idx = None

    def before(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        if now.folder is None:
            raise RuntimeError("outside of Network.forward")
        matrix = now.folder.matrix(name)
        tokens, places = torch.unique(args[0], return_inverse=True)
        rows = torch.cat([matrix.rows(number, number + 1) for number in tokens.tolist()])
        module.register_parameter("weight", nn.Parameter(rows, requires_grad=False))
        return (places,)

    def after(module: nn.Module, args: Any, embedded: torch.Tensor) -> torch.Tensor:
        del args
        module.register_parameter("weight", None)
        return embedded

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def _final(text: PretrainedConfig) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from products to logits: Gemma 2 caps, Cohere multiplies, Granite divides."""
    cap = getattr(text, "final_logit_softcapping", None)
    factor = (getattr(text, "logit_scale", None) or 1.0) / (
        getattr(text, "logits_scaling", None) or 1.0
    )

    def final(products: torch.Tensor) -> torch.Tensor:
        if not math.isclose(factor, 1.0):
            products.mul_(factor)
        return products if cap is None else products.div_(cap).tanh_().mul_(cap)

    return final


def _config(path: Path) -> PretrainedConfig:
    try:
        settled = stored_config.settle(path, result.config_of(path)).config
        config = transformers_config.read(path, settled)
    except ModelRefusedError as refusal:
        raise QuantizeError(str(refusal)) from None
    if not described_model.is_known(config):
        raise QuantizeError(f"{path.name} ({config.model_type}) is no causal language model.")
    return config
