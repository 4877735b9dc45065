# SPDX-License-Identifier: Apache-2.0
"""Exported files back as functions: images uint8 [B, S, S, 3] (RGB crops) to points float32 [B, K, 2] in crop units.

Each function here takes the folder of an export and, if given, the folder of the run that it must be of, and raises
FileNotFoundError when a file is not there, and ValueError when one is not what was exported. No images, of any batch,
give no points.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.export import executable, manifest, stablehlo
from barrel_jax.onnx import runtime

Predict = Callable[[UInt8[np.ndarray, "B S S 3"]], Float[np.ndarray, "B K 2"]]


def load_stablehlo(directory: Path, *, workdir: Path | None = None) -> Predict:
    """The StableHLO program on the default device; compiles at the first call with each B."""
    about = manifest.read(directory, workdir)
    content = manifest.content(directory, stablehlo.NAME, about)
    return _guarded(stablehlo.deserialise(content), about)


def load_executable(directory: Path, *, sha256: str, batch: int = 1, workdir: Path | None = None) -> Predict:
    """The compiled program for a batch, which is trusted like code: opening it runs what it says.

    Args:
        directory: of the export.
        sha256: the file's, in hex, as `python -m barrel_jax.export` printed it, kept where nobody else writes. The one
          in the manifest proves nothing: whoever changes the file can change that.
        batch: B.
        workdir: the run that it must be of.

    Raises ValueError also on another version of jax or jaxlib, and on another device or processor.
    """
    about = manifest.read(directory, workdir)
    name = executable.name(batch)
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(
            f"{Path(directory) / name}: an executable is trusted like code: give sha256=, the 64 digits that the "
            f"export printed, not {sha256!r}"
        )
    manifest.check_machine(Path(directory) / name, about)
    content = manifest.content(directory, name, about, sha256)
    return _guarded(executable.deserialise(content), about, batch)


def load_onnx(directory: Path, *, threads: int | None = None, workdir: Path | None = None) -> Predict:
    """The ONNX network in ONNX Runtime on the CPU, with `threads` threads (all cores by default)."""
    about = manifest.read(directory, workdir)
    content = manifest.content(directory, runtime.NAME, about)
    try:
        return _guarded(runtime.deserialise(content, threads), about)
    except ValueError as error:
        raise ValueError(f"{Path(directory) / runtime.NAME}: {error}") from error


def _guarded(
    predict: Callable[[Any], Float[jax.Array, "B K 2"] | Float[np.ndarray, "B K 2"]],
    about: dict[str, Any],
    batch: int | None = None,
) -> Predict:
    size = about["image_size"]

    def guarded(images: UInt8[np.ndarray, "B S S 3"]) -> Float[np.ndarray, "B K 2"]:
        if len(images) == 0:
            return np.zeros((0, about["num_landmarks"], 2), np.float32)
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or len(images) != (batch or len(images)):
            raise ValueError(
                f"images are {images.dtype} {list(images.shape)}; this program takes uint8 "
                f"[{batch or 'B'}, {size}, {size}, 3]"
            )
        return np.asarray(predict(images))

    return guarded
