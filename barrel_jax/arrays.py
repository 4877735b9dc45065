# SPDX-License-Identifier: Apache-2.0
"""Arrays that JAX's functions take, for the annotations of shapes: JAX's own and NumPy's."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
