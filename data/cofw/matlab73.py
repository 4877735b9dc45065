# SPDX-License-Identifier: Apache-2.0
"""Reading MATLAB 7.3 files, which are HDF5, without trust in what they hold."""

import contextlib
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

# What h5py raises on damaged files, depending on which byte is damaged.
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)
MAX_BYTES = 1 << 28  # A damaged shape can ask for any amount of memory. A photo of 89 megapixels still passes.


class Matlab73:
    """A MATLAB 7.3 file, opened once; several threads may read it.

    HDF5 has the axes in reverse order: what is [N, 87] in MATLAB is [87, N] there.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        """Opens the file. `remedy` ends every message. Raises ValueError when it is not HDF5, cut off or unreadable."""
        self.path, self.remedy = path, remedy
        self._lock = threading.Lock()
        with self._reading("the file"):
            self._file = h5py.File(path, "r")

    def close(self) -> None:
        """Closes the file; nothing can be read from it afterwards."""
        self._file.close()

    def matrix(self, variable: str, columns: int) -> np.ndarray:
        """A matrix float64 [N, columns], with MATLAB's order of axes. Raises ValueError when there is none."""
        with self._reading(variable):
            found = self._file.get(variable)
            shape, kind = _shape(found), found.dtype.kind if isinstance(found, h5py.Dataset) else ""
        if found is None:
            raise ValueError(f"{self.path}: has no variable {variable}; {self.remedy}")
        if len(shape) != 2 or shape[0] != columns or kind not in "fiu":
            raise ValueError(
                f"{self.path}: {variable} is not {columns} numbers a record: HDF5 shape {shape} where [{columns}, N] "
                f"is expected; {self.remedy}"
            )
        # A damaged byte can make a long double that overflows, or a NaN of which NumPy warns at every touch.
        with np.errstate(all="ignore"):
            values = self._read(variable, found).T.astype(np.float64)
            return np.where(np.isnan(values), np.nan, values)

    def references(self, variable: str) -> list[h5py.Reference]:
        """What the entries of a cell array of N x 1 or 1 x N refer to. Raises ValueError when there is none."""
        with self._reading(variable):
            found = self._file.get(variable)
            shape = _shape(found)
            is_cell = isinstance(found, h5py.Dataset) and h5py.check_ref_dtype(found.dtype) is h5py.Reference
        if found is None:
            raise ValueError(f"{self.path}: has no variable {variable}; {self.remedy}")
        if not is_cell or len(shape) != 2 or 1 not in shape:
            raise ValueError(f"{self.path}: {variable} is no column of cells: HDF5 shape {shape}; {self.remedy}")
        return self._read(variable, found).ravel().tolist()

    def shape(self, name: str, reference: h5py.Reference) -> tuple[int, ...]:
        """The HDF5 shape of the uint8 array referred to, without reading it.

        Raises ValueError, which calls it `name`, when there is none or it is not uint8.
        """
        return _shape(self._referred(name, reference))

    def array(self, name: str, reference: h5py.Reference) -> np.ndarray:
        """The uint8 array referred to, with HDF5's order of axes. Raises ValueError, which calls it `name`."""
        return self._read(name, self._referred(name, reference))

    def _referred(self, name: str, reference: h5py.Reference) -> h5py.Dataset:
        if not reference:
            raise ValueError(f"{self.path}: {name} is empty; {self.remedy}")
        with self._reading(name):
            found = self._file[reference]
            is_bytes = isinstance(found, h5py.Dataset) and found.dtype == np.uint8
            kind = found.dtype if isinstance(found, h5py.Dataset) else "no array"
        if not is_bytes:
            raise ValueError(f"{self.path}: {name} is not an array of uint8 but {kind}; {self.remedy}")
        return found

    def _read(self, name: str, dataset: h5py.Dataset) -> np.ndarray:
        with self._reading(name):
            size = math.prod(dataset.shape) * dataset.dtype.itemsize
        if size > MAX_BYTES:
            raise ValueError(f"{self.path}: {name} claims {size:,} bytes: the file is damaged; {self.remedy}")
        with self._reading(name):
            return dataset[()]

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except DAMAGE as error:
                reason = " ".join(str(error).split())
                raise ValueError(
                    f"{self.path}: {name} cannot be read as MATLAB 7.3 (HDF5): {reason}; {self.remedy}"
                ) from error


def _shape(found: h5py.Dataset | h5py.Group | h5py.Datatype | None) -> tuple[int, ...]:
    """The shape; () when it is no array or an empty one."""
    return (found.shape or ()) if isinstance(found, h5py.Dataset) else ()
