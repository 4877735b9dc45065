# SPDX-License-Identifier: Apache-2.0
"""PyTorch's state dicts as files: `.pth`, a pickle of which only tensors are read, and `.safetensors`."""

import io
import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp  # which gives NumPy bfloat16
import numpy as np
import safetensors.numpy

from barrel_jax import files

ANEW = "; copy or fetch it anew"
# What PyTorch's reader raises on files that are cut short or of another kind.
UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    AttributeError,
    EOFError,
    struct.error,
    zipfile.BadZipFile,
)
SHARED = 4  # times the file's size that tensors may come to: some share their numbers

# What a pickle of tensors imports.
TENSORS = re.compile(r"collections\.OrderedDict|torch\.\w+|torch\._utils\._rebuild_\w+|torch\.nn\.parameter\.Parameter")


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.pth` or `.safetensors` file by their names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is cut short, holds something else, or wants to run code; PyTorch is missing for a `.pth`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file; see --config.pretrained")
    if path.suffix == ".safetensors":
        try:
            arrays = safetensors.numpy.load_file(path)
        except (safetensors.SafetensorError, TypeError, AttributeError, KeyError) as error:  # of numbers NumPy has not
            raise ValueError(
                f"{path}: cut short, or not a safetensors file of plain numbers, such as float32 ({error}){ANEW}"
            ) from error
        return {
            name: array.astype(np.float32) if array.dtype == jnp.bfloat16 else array for name, array in arrays.items()
        }
    if path.suffix != ".pth":
        raise ValueError(f"{path}: weights are read from .pth and .safetensors files; give one, or a run's folder")
    torch = _torch(path)
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        called = _called(path)
        if called:
            raise ValueError(
                f"{path}: refused, its pickle wants to run code ({called}); give a state dict of tensors only"
            ) from error
        raise ValueError(f"{path}: cut short, or not a state dict of PyTorch{ANEW}") from error
    except UNREADABLE as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(f"{path}: cut short, or not a state dict of PyTorch ({reason}){ANEW}") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(
            f"{path}: holds a {type(content).__name__} that is no state dict (tensors by their names); save what the "
            "model's state_dict() gives"
        )
    # A tensor may be a view that says one number a million times.
    size, most = (
        sum(tensor.numel() * tensor.element_size() for tensor in content.values()),
        SHARED * path.stat().st_size,
    )
    if size > most or any(tensor.layout != torch.strided for tensor in content.values()):
        raise ValueError(
            f"{path}: its tensors claim {size:,} bytes, and the file has {path.stat().st_size:,}; "
            "save them dense and whole"
        )
    # numpy has no bfloat16 of its own.
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in content.items()}
    return {name: tensor.detach().numpy() for name, tensor in whole.items()}


def write_state_dict(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes arrays, in C order, as a `.pth` or `.safetensors` file.

    Raises:
        ValueError: the name ends otherwise; PyTorch is missing for a `.pth`.
    """
    if path.suffix == ".safetensors":
        files.write(path, lambda temporary: safetensors.numpy.save_file(weights, temporary))
    elif path.suffix == ".pth":
        torch = _torch(path)
        tensors = {name: torch.from_numpy(weight) for name, weight in weights.items()}
        files.write(path, lambda temporary: torch.save(tensors, temporary))
    else:
        raise ValueError(f"{path}: weights are written as .safetensors or .pth")


def _check_archive(path: Path) -> None:
    """Raises ValueError for an archive that unpacks to more than itself: PyTorch compresses nothing, but reads it."""
    with files.open_file(path) as stream:
        if stream.read(4) != b"PK\x03\x04":
            return  # before PyTorch 1.6
        with zipfile.ZipFile(stream) as archive:
            parts = archive.infolist()
    size = sum(part.file_size for part in parts)
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or size > path.stat().st_size:
        raise ValueError(f"it unpacks to {size:,} bytes, as no file of PyTorch does")


def _called(path: Path) -> str | None:
    """The first thing that a refused pickle would import, other than what makes tensors; nothing of it is run."""
    names: list[str] = []
    strings: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                stream = io.BytesIO(b"".join(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl")))
        else:
            stream = io.BytesIO(files.read_bytes(path))
        while True:  # before PyTorch 1.6 a file was several pickles in a row
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, LookupError, struct.error, zipfile.BadZipFile):  # no further pickle
        return next((name for name in names if not TENSORS.fullmatch(name)), None)


def _torch(path: Path) -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: .pth files need PyTorch; pip install torch, or use .safetensors") from error
    return torch
