"""Weights that go to a GPU one by one, as transformers reads them.

transformers makes a model in the host's memory; to place it elsewhere it asks for a package more
(accelerate), which no lock of ours has. A parameter is given to its module as soon as it is read,
and torch tells of that: here it is moved then, and the host's copy is let go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from models.rules.safetensors_header import TensorEntry
from serve.environment import variables_set

_ONE_BY_ONE = {"HF_DEACTIVATE_ASYNC_LOAD": "1"}
"""transformers' threads would read and convert all tensors ahead of the one that is placed."""
_EXPERTS = ".experts."


@contextmanager
def placed_on(device: torch.device) -> Iterator[None]:
    """Parameters that modules are given within are moved to the device; on a CPU nothing is.

    Those without memory (torch's meta device) stay as they are: they are still to be read.
    """
    if device.type == "cpu":
        yield
        return

    def move(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        del module, name
        if parameter.device.type != "cpu":
            return None
        moved = nn.Parameter(parameter.detach().to(device), requires_grad=False)
        vars(moved).update(vars(parameter))  # transformers' mark of what is not to be drawn anew
        return moved

    hook = register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        with variables_set(_ONE_BY_ONE):
            yield
    finally:
        hook.remove()


def most_bytes_held(tensors: Mapping[str, TensorEntry], item_bytes: int) -> int:
    """Most bytes of the host's memory at a time, on the way to another device.

    One tensor; of a layer's experts, which transformers joins before it places them, all, and what
    they are joined to.

    Args:
        tensors: of the weight files.
        item_bytes: of a number, as it is placed.
    """
    pieces: dict[str, int] = {}
    for name, entry in tensors.items():
        layer, is_expert, _ = name.partition(_EXPERTS)
        piece = layer if is_expert else name
        copies = 2 if is_expert else 1
        pieces[piece] = pieces.get(piece, 0) + copies * entry.num_elements * item_bytes
    return max(pieces.values(), default=0)
