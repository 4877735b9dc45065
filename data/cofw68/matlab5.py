# SPDX-License-Identifier: Apache-2.0
"""Reading matrices of MATLAB 5 files with SciPy, without trust in what they hold."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io

from data.cofw68.elements import check_elements

# What SciPy raises on files whose elements are well-formed and do not fit together. Of some it only warns.
DAMAGE = (ValueError, TypeError, OSError, scipy.io.matlab.MatReadError, Warning)


def read_matrices(
    path: Path, shapes: Mapping[str, tuple[int | None, int | None]], remedy: str
) -> dict[str, np.ndarray]:
    """The named matrices of a MATLAB 5 file, float64.

    Args:
        path: the file.
        shapes: by the names of the matrices; None for any number of rows or columns.
        remedy: ends every message.

    Raises:
        ValueError: the file is no MATLAB 5 file, cut off or damaged, or a matrix is not there, has no real numbers or
            another shape; names the file and the variable.
    """
    try:
        content = path.read_bytes()
        check_elements(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scipy.io.loadmat(io.BytesIO(content), variable_names=list(shapes))
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as MATLAB 5: {reason}; {remedy}") from error
    for name, shape in shapes.items():
        if name not in found:
            raise ValueError(f"{path}: {name} is not there; {remedy}")
        sides = found[name].shape
        if len(sides) != 2 or any(want not in (None, side) for side, want in zip(sides, shape, strict=True)):
            expected = " x ".join("n" if want is None else str(want) for want in shape)
            raise ValueError(
                f"{path}: {name} is {' x '.join(map(str, sides))} where {expected} numbers are expected; {remedy}"
            )
    return {name: _quiet(found[name].astype(np.float64)) for name in shapes}


def _quiet(values: np.ndarray) -> np.ndarray:
    """The same with every NaN a quiet one: a damaged byte can make one of which NumPy warns at every touch."""
    return np.where(np.isnan(values), np.nan, values)
