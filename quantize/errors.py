"""Errors of this package; `python -m quantize` prints the message and exits with code 2.

::

    ModelError (models/errors.py)
    └── QuantizeError
        ├── UnsuitableModelError   quantised already, of experts, or without a layer that we know
        ├── BadWeightsError        NaN or infinity in a weight
        ├── OptionError            a scheme, method or group size that there is not
        └── OccupiedError          another model has the name
"""

from __future__ import annotations

from models.errors import ModelError


class QuantizeError(ModelError):
    """Root of the tree."""


class UnsuitableModelError(QuantizeError):
    """The model cannot be quantised in this way. Says why, and what can."""


class BadWeightsError(QuantizeError):
    """A weight holds NaN or infinity. Names the tensor."""


class OptionError(QuantizeError):
    """An option that does not exist, or options that do not go together."""


class OccupiedError(QuantizeError):
    """Another model lies where the result belongs."""
