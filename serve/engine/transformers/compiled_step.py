"""A decode step of a model of the Llama kind, without torch between its products.

A step of decodes reads every weight once for a few rows. Through transformers' modules it is some
1,500 operations of torch as well, which took longer than the products (docs/lab-notes.md). Here a
step is a list of some 200 calls of compiled loops (``kernels/``), made once
from the model's own modules and run in one visit to torch's threads. Activations are float32.

``of`` says None for whatever it does not know by its class: other models, layers whose weights are
stored in a form that is not ours to read (oneDNN's), float16, a GPU, a machine without Numba. What
it takes is checked against the model's own forward at every start (``warm_up.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import nn
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from serve.engine.transformers.kernels import native, registry, stored_matrix
from serve.engine.transformers.kernels.arguments import (
    GateArguments,
    NormArguments,
    StoreArguments,
)
from serve.engine.transformers.kernels.attend_rows import AttendMemory, AttendRows
from serve.engine.transformers.kernels.panels import Panels
from serve.engine.transformers.kernels.stored_matrix import FloatMatrix
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.layers.fused_linear import Part
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.step_plan import StepPlan

MOST_ROWS = 64
"""A product of more rows takes as long as several of fewer; docs/lab-notes.md."""
_KNOWN = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
_Call = tuple[native.Kernel, tuple[int, ...]]
_Matrix = FloatMatrix | Panels


class CompiledStep:
    """Made by ``of``. One thread at a time."""

    def __init__(self, model: PreTrainedModel, cache: KVCache, products: _Products) -> None:
        self._model, self._cache = model, cache
        self._products = products
        config = model.config
        layer = model.model.layers[0].self_attn
        self._is_bfloat16 = model.dtype is torch.bfloat16
        self._num_heads, self._num_kv = config.num_attention_heads, config.num_key_value_heads
        self._dim = layer.head_dim
        width = self._num_heads + 2 * self._num_kv
        rows = MOST_ROWS
        self._hidden = torch.empty(rows, config.hidden_size)
        self._normed = torch.empty(rows, config.hidden_size)
        self._qkv = torch.empty(rows, width * self._dim)
        self._attended = torch.empty(rows, self._num_heads * self._dim)
        self._both = torch.empty(rows, 2 * config.intermediate_size)
        self._gated = torch.empty(rows, config.intermediate_size)
        self._cos_sin = torch.empty(2, rows, self._dim)
        self._logits = torch.empty(rows, config.vocab_size)
        memory = AttendMemory(
            num_rows=rows,
            num_heads=self._num_heads,
            num_kv_heads=self._num_kv,
            dim=self._dim,
        )
        self._rows = AttendRows(memory, num_blocks=cache.num_blocks)
        self._scratch = native.Scratch(rows, max(matrix.num_in for matrix in products.all()))
        self._slots = torch.empty(rows, dtype=torch.int64)
        self._kept: list[torch.Tensor] = []
        self._sequence = native.CallSequence(registry.sequence(), self._calls())

    @classmethod
    def of(cls, model: PreTrainedModel, cache: KVCache) -> Self | None:
        """The compiled step of a model, once its layers are final; None where it is not known."""
        if not (
            type(model) in _KNOWN
            and model.dtype in {torch.float32, torch.bfloat16}
            and model.device.type == "cpu"
            and model.config.hidden_act == "silu"
            and native.is_available()
        ):
            return None
        products = _Products.of(model)
        return None if products is None else cls(model, cache, products)

    @property
    def has_head(self) -> bool:
        """Whether the logits come out of the loops, too."""
        return self._products.head is not None

    def takes(self, plan: StepPlan) -> bool:
        """Whether a step is of decodes alone, and no more than ``MOST_ROWS`` tokens."""
        is_small = plan.input_ids.shape[1] <= MOST_ROWS
        return is_small and all(segment.is_decode for segment in plan.segments)

    def logits(self, plan: StepPlan) -> torch.Tensor:
        """float32 ``[N, V]`` of a step that ``takes`` says yes to; overwritten by the next."""
        num_rows = plan.input_ids.shape[1]
        if plan.fresh_blocks is not None:
            for layer in self._cache.keys:
                self._cache.clear(layer, plan.fresh_blocks)
        # A row attends up to itself: a layer stores the keys of all rows before any attends.
        self._rows.fill(
            [(range(one.start, one.end), one.sequence.block_ids) for one in plan.segments]
        )
        self._slots[:num_rows] = plan.slots
        decoder = self._model.model
        self._hidden[:num_rows] = decoder.embed_tokens(plan.input_ids)[0]
        cos, sin = decoder.rotary_emb(self._hidden, plan.position_ids)
        self._cos_sin[0, :num_rows], self._cos_sin[1, :num_rows] = cos[0], sin[0]
        self._sequence.run(num_rows)
        if self._products.head is None:
            normed = self._normed[None, :num_rows].to(self._model.dtype)
            logits: torch.Tensor = self._model.lm_head(normed)[0]
            return logits
        return self._logits[:num_rows]

    def _calls(self) -> Iterator[_Call]:
        decoder = self._model.model
        for index, layer in enumerate(decoder.layers):
            yield self._norm(layer.input_layernorm)
            yield self._product(self._products.qkv[index], self._normed, self._qkv)
            yield self._store(index, layer.self_attn)
            yield self._attend(index, layer.self_attn)
            yield self._product(self._products.o[index], self._attended, self._hidden, adds=True)
            yield self._norm(layer.post_attention_layernorm)
            yield self._product(self._products.gate_up[index], self._normed, self._both)
            yield self._gate()
            yield self._product(self._products.down[index], self._gated, self._hidden, adds=True)
        yield self._norm(decoder.norm)
        if self._products.head is not None:
            yield self._product(self._products.head, self._normed, self._logits)

    def _norm(self, norm: Any) -> _Call:
        return registry.norm(), NormArguments(
            num_rows=0,
            size=self._hidden.shape[1],
            epsilon=_bits(norm.variance_epsilon),
            rows=self._hidden.data_ptr(),
            weight=self._keep(norm.weight).data_ptr(),
            out=self._normed.data_ptr(),
        )

    def _product(
        self, layer: _Product, rows: torch.Tensor, out: torch.Tensor, *, adds: bool = False
    ) -> _Call:
        bias = None if layer.bias is None else self._keep(layer.bias)
        arguments = layer.matrix.arguments(
            rows=rows, out=out, scratch=self._scratch, bias=bias, adds=adds
        )
        return layer.matrix.kernel, arguments

    def _store(self, index: int, attention: Any) -> _Call:
        norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        q_norm, k_norm = (
            0 if norm is None else self._keep(norm.weight).data_ptr() for norm in norms
        )
        cos, sin = (part.data_ptr() for part in self._cos_sin)
        return registry.store(is_bfloat16=self._is_bfloat16), StoreArguments(
            num_rows=0,
            num_heads=self._num_heads,
            num_kv_heads=self._num_kv,
            head_dim=self._dim,
            epsilon=_bits(0.0 if norms[0] is None else norms[0].variance_epsilon),
            qkv=self._qkv.data_ptr(),
            cos=cos,
            sin=sin,
            q_norm=q_norm,
            k_norm=k_norm,
            slots=self._slots.data_ptr(),
            keys=self._cache.keys[index].data_ptr(),
            values=self._cache.values[index].data_ptr(),
        )

    def _attend(self, index: int, attention: Any) -> _Call:
        return self._rows.call(
            queries=self._qkv,
            keys=self._cache.keys[index],
            values=self._cache.values[index],
            out=self._attended,
            scale=attention.scaling,
            window=self._cache.shapes[index].sliding_window,
        )

    def _gate(self) -> _Call:
        return registry.gate(), GateArguments(
            num_rows=0,
            size=self._gated.shape[1],
            both=self._both.data_ptr(),
            out=self._gated.data_ptr(),
        )

    def _keep(self, parameter: torch.Tensor) -> torch.Tensor:
        """A norm's weight or a bias in float32: a few numbers that are held twice."""
        self._kept.append(parameter.detach().float().contiguous())
        return self._kept[-1]


class _Product:
    """A linear layer's weights, which the loops can read, and its bias."""

    def __init__(self, matrix: _Matrix, bias: torch.Tensor | None) -> None:
        self.matrix, self.bias = matrix, bias

    @classmethod
    def of(cls, layer: nn.Module) -> Self | None:
        whole = layer.whole if isinstance(layer, Part) else layer
        matrix: _Matrix | None
        if isinstance(whole, QuantizedLinear):
            matrix = whole.matrix
        elif isinstance(whole, nn.Linear):
            matrix = stored_matrix.of_linear(whole)
        else:
            return None
        return None if matrix is None else cls(matrix, whole.bias)


class _Products:
    """Products of every layer; ``head`` is None where it is left to its module."""

    def __init__(self, layers: Sequence[Sequence[_Product]], head: _Product | None) -> None:
        self.qkv, self.o, self.gate_up, self.down = zip(*layers, strict=True)
        self.head = head

    def all(self) -> Iterator[_Matrix]:
        for group in (self.qkv, self.o, self.gate_up, self.down, [self.head] if self.head else []):
            yield from (product.matrix for product in group)

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self | None:
        layers = []
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            if not (isinstance(attention.q_proj, Part) and isinstance(mlp.gate_proj, Part)):
                return None
            parts = (attention.q_proj, attention.o_proj, mlp.gate_proj, mlp.down_proj)
            products = [product for part in parts if (product := _Product.of(part)) is not None]
            if len(products) < len(parts):
                return None
            layers.append(products)
        return cls(layers, _Product.of(model.lm_head))


def _bits(number: float) -> int:
    """The bits of the nearest float32."""
    return int(torch.tensor(number, dtype=torch.float32).view(torch.int32))
