# SPDX-License-Identifier: Apache-2.0
"""Reading MATLAB 7.3 files, which are HDF5, without trust in what they hold.

HDF5 can fetch a variable's numbers from another file: by an external link, by a soft link through one, by raw storage,
and by a virtual array. MATLAB writes none of these, and here they are refused before anything is read through them.
"""

import contextlib
import math
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

# What h5py raises on damaged files, depending on which byte is damaged.
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, zlib.error)
MAX_BYTES = 1 << 28  # A damaged shape can ask for any amount of memory. A photo of 89 megapixels still passes.
MAX_CELLS = 1 << 20
DEFLATED = 1032  # what deflate makes of a byte at most
# MATLAB's compression. Others may unpack to more than can be told beforehand.
FILTERS = {h5py.h5z.FILTER_DEFLATE: "gzip", h5py.h5z.FILTER_SHUFFLE: "shuffle", h5py.h5z.FILTER_FLETCHER32: "checksums"}


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
            found = self._variable(variable)
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
            found = self._variable(variable)
            shape = _shape(found)
            is_cell = isinstance(found, h5py.Dataset) and h5py.check_ref_dtype(found.dtype) is h5py.Reference
        if found is None:
            raise ValueError(f"{self.path}: has no variable {variable}; {self.remedy}")
        if not is_cell or len(shape) != 2 or 1 not in shape:
            raise ValueError(f"{self.path}: {variable} is no column of cells: HDF5 shape {shape}; {self.remedy}")
        if math.prod(shape) > MAX_CELLS:
            raise ValueError(
                f"{self.path}: {variable} claims {math.prod(shape):,} cells: the file is damaged; {self.remedy}"
            )
        return self._read(variable, found).ravel().tolist()

    def shape(self, name: str, reference: h5py.Reference) -> tuple[int, ...]:
        """The HDF5 shape of the uint8 array referred to, without reading it.

        Raises ValueError, which calls it `name`, when there is none or it is not uint8.
        """
        return _shape(self._referred(name, reference))

    def array(self, name: str, reference: h5py.Reference) -> np.ndarray:
        """The uint8 array referred to, with HDF5's order of axes. Raises ValueError, which calls it `name`."""
        return self._read(name, self._referred(name, reference))

    def _variable(self, name: str) -> h5py.Dataset | h5py.Group | h5py.Datatype | None:
        """What the file itself holds under a name. Raises ValueError for a link, which may lead to another file."""
        link = self._file.get(name, getlink=True)
        if link is not None and not isinstance(link, h5py.HardLink):
            raise ValueError("it is a link, as MATLAB writes none, and may be another file's")
        return self._file.get(name)

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
            _check_storage(dataset)
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


def _check_storage(dataset: h5py.Dataset) -> None:
    """Raises ValueError when the numbers are in another file, or packed so that they may unpack to too much."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its numbers are in another file, as MATLAB never puts them")
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    if not set(filters) <= FILTERS.keys() or len(set(filters)) < len(filters):
        raise ValueError(f"it is packed in another way than by {', '.join(FILTERS.values())}, each once")
    if dataset.chunks is None:
        return
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > MAX_BYTES:
        raise ValueError(f"a part of it claims {chunk:,} bytes")
    if h5py.h5z.FILTER_DEFLATE not in filters or dataset.id.get_storage_size() * DEFLATED <= MAX_BYTES:
        return
    unpacked = 1 << filters.index(h5py.h5z.FILTER_DEFLATE)  # set for a part that would have grown
    for number in range(dataset.id.get_num_chunks()):
        about = dataset.id.get_chunk_info(number)
        # HDF5 unpacks whatever comes, and does not mind that it is too much.
        if about.size * DEFLATED > MAX_BYTES and not about.filter_mask & unpacked:
            unpacker = zlib.decompressobj()
            unpacker.decompress(dataset.id.read_direct_chunk(about.chunk_offset)[1], chunk + 1)
            if unpacker.unconsumed_tail:
                raise ValueError(f"a part of it unpacks to more than its {chunk:,} bytes")
