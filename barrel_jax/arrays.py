# SPDX-License-Identifier: Apache-2.0
"""Arrays that JAX's functions take, for the annotations of shapes: JAX's own and NumPy's."""

from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

if TYPE_CHECKING:
    from chex import ArrayTree

    AnyArray = jax.Array  # what becomes of NumPy's within a function of JAX
else:
    AnyArray = jax.Array | np.ndarray
    # A model's variables, or a part of them. chex's own cannot be checked at run time, since it names itself, and
    # prediction does without importing chex.
    ArrayTree = PyTree[AnyArray]

# For functions of both libraries, whose results are of the kind of their arguments.
OneKind = TypeVar("OneKind", jax.Array, np.ndarray)
