# SPDX-License-Identifier: Apache-2.0
"""Arrays that JAX's functions take, for the annotations of shapes: JAX's own and NumPy's."""

from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np

if TYPE_CHECKING:
    AnyArray = jax.Array  # what becomes of NumPy's within a function of JAX
else:
    AnyArray = jax.Array | np.ndarray

# For functions of both libraries, whose results are of the kind of their arguments.
OneKind = TypeVar("OneKind", jax.Array, np.ndarray)
