# SPDX-License-Identifier: Apache-2.0
"""The libraries of the extra `train`, which training and drawing need beyond prediction, and the line that names it."""

from importlib.util import find_spec

TRAIN = (
    "PIL",
    "array_record",
    "grain",
    "h5py",
    "importlib_resources",
    "matplotlib",
    "safetensors",
    "tensorboardX",
    "tensorflow_datasets",
)


def remedy(library: str) -> str:
    """The line that says how to get a library of the extra; '' for any other.

    Args: `library` as `ModuleNotFoundError.name` has it, 'matplotlib.figure' too.
    """
    top = library.partition(".")[0]
    return f"this needs {top}: pip install 'barrel-jax[train]', in a clone pip install -e '.[train]'" * (top in TRAIN)


def require_train() -> None:
    """Raises ModuleNotFoundError with that line when a library is missing: at the start, not at the first picture."""
    for library in TRAIN:
        if find_spec(library) is None:
            raise ModuleNotFoundError(remedy(library), name=library)
