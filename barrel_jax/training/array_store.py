# SPDX-License-Identifier: Apache-2.0
"""The store (TensorStore) in which orbax keeps the arrays of a checkpoint, and the errors that it reports."""

import os
from errno import EACCES, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS, ESTALE
from pathlib import Path

import tensorstore as ts

# Of reading and writing files. The system may grant tomorrow what it refuses with the first ones: the files are whole.
PASSING = (EACCES, EMFILE, ENFILE, EPERM, ESTALE)
FILE_ERRORS = (*PASSING, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, ENOTDIR, EROFS)
PASSING_WORDS, FILE_ERROR_WORDS = (tuple(map(os.strerror, errors)) for errors in (PASSING, FILE_ERRORS))


def open_store(address: Path) -> ts.KvStore:
    """The array store at an address that any library takes (`PlainPath`)."""
    return ts.KvStore.open({"driver": "ocdbt", "base": {"driver": "file", "path": f"{address}/"}}).result()


def unreadable(address: Path) -> str:
    """Why the arrays of a checkpoint without checksums cannot be read; '' when all can.

    Raises:
        OSError: it may pass (`passes`).
    """
    try:
        store = open_store(address)
        keys = store.list().result()
        for value in [store.read(key) for key in keys]:
            value.result()
    except (ValueError, OSError) as error:
        if passes(str(error)):
            raise OSError(str(error)[:300]) from error
        return str(error)[:300]
    return "" if keys else "there are no arrays"


def passes(words: str) -> bool:
    """Whether an error's words are of a refusal that may pass, such as of too many open files, and of no damage."""
    return any(refusal in words for refusal in PASSING_WORDS)


def is_file_error(error: ValueError | OSError) -> bool:
    """Whether the operating system refused to read or to write a file.

    TensorStore reports what the system said as a ValueError with its words, such as "No space left on device".
    """
    return isinstance(error, OSError) or any(words in str(error) for words in FILE_ERROR_WORDS)
