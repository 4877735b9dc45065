# SPDX-License-Identifier: Apache-2.0
"""The store (TensorStore) in which orbax keeps the arrays of a checkpoint, and the errors that it reports."""

import os
from errno import EACCES, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS, ESTALE
from pathlib import Path

import tensorstore as ts

# Of reading and writing files.
FILE_ERRORS = (EACCES, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS, ESTALE)
FILE_ERROR_WORDS = tuple(map(os.strerror, FILE_ERRORS))


def open_store(address: Path) -> ts.KvStore:
    """The array store at an address that any library takes (`PlainPath`)."""
    return ts.KvStore.open({"driver": "ocdbt", "base": {"driver": "file", "path": f"{address}/"}}).result()


def unreadable(address: Path) -> str:
    """Why the arrays of a checkpoint without checksums cannot be read; '' when all can."""
    try:
        store = open_store(address)
        keys = store.list().result()
        for value in [store.read(key) for key in keys]:
            value.result()
    except (ValueError, OSError) as error:
        return str(error)[:300]
    return "" if keys else "there are no arrays"


def is_file_error(error: ValueError | OSError) -> bool:
    """Whether the operating system refused to read or to write a file.

    TensorStore reports what the system said as a ValueError with its words, such as "No space left on device".
    """
    return isinstance(error, OSError) or any(words in str(error) for words in FILE_ERROR_WORDS)
