# SPDX-License-Identifier: Apache-2.0
"""BarrelNet in JAX: facial landmark detection with one decoder, DQInit and QAMem."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barrel_jax.models.barrelnet import BarrelNet
    from barrel_jax.predict.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["BarrelNet", "Predictor"]

_HOMES = {"BarrelNet": "barrel_jax.models.barrelnet", "Predictor": "barrel_jax.predict.predictor"}


def __getattr__(name: str) -> Any:
    """What the package offers, loaded when it is asked for: JAX takes seconds, which `--help` need not wait for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
