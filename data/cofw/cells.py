# SPDX-License-Identifier: Apache-2.0
"""The images of COFW: cells of its MATLAB 7.3 files, read when asked for."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from data.cofw.matlab73 import Matlab73
from data.source import Source


class ImageCells:
    """A cell array of N images, each uint8 [H, W, 3] RGB or [H, W] grey in MATLAB."""

    def __init__(self, file: Matlab73, variable: str) -> None:
        """Raises ValueError when the variable is no cell array."""
        self.file, self.variable = file, variable
        self._references = file.references(variable)

    def __len__(self) -> int:
        return len(self._references)

    def size(self, index: int) -> tuple[int, int, bool]:
        """Width, height and whether it is grey, without reading pixels. Raises ValueError when it is no image."""
        shape = self.file.shape(self._name(index), self._references[index])
        if not (len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)) or min(shape) < 2:
            raise ValueError(
                f"{self.file.path}: {self._name(index)} is no image: HDF5 shape {shape} where [3, W, H] or, for a grey "
                f"one, [W, H] is expected; {self.file.remedy}"
            )
        return shape[-2], shape[-1], len(shape) == 2

    def image(self, index: int) -> np.ndarray:
        """Pixels uint8 [H, W, 3], BGR; a grey image has three equal channels. Raises ValueError when it is no image."""
        grey = self.size(index)[2]
        pixels = self.file.array(self._name(index), self._references[index]).T
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2BGR if grey else cv2.COLOR_RGB2BGR)

    def _name(self, index: int) -> str:
        return f"{self.variable}, record {index} (from 0)"


def cell_name(file: str, variable: str, index: int) -> str:
    """The name of an image, 'COFW_test_color.mat/IsT/0000', the same in COFW and in COFW-68."""
    return f"{file}/{variable}/{index:04d}"


@dataclass
class CellSource(Source):
    """A source whose images are cells of MATLAB files. The files stay open, and pixels are read when asked for."""

    cells: dict[str, ImageCells] = field(default_factory=dict)  # by the names of the files

    def image(self, file: str) -> tuple[bytes, np.ndarray]:
        """b'', since cells are not encoded, and the pixels uint8 [H, W, 3], BGR. Several threads may call it.

        Raises:
            FileNotFoundError: the MATLAB file was not there when the source was read.
            ValueError: the image is damaged; names the file, the variable, the record and the remedy.
        """
        name, _, index = file.split("/")
        if name not in self.cells:
            raise FileNotFoundError(f"{self.image_path(file)}: {name} is not there; put it into {self.directory}")
        return b"", self.cells[name].image(int(index))

    def image_path(self, file: str) -> Path:
        """Where the image lies, the MATLAB file being taken for a folder."""
        name = file.split("/")[0]
        return (self.cells[name].file.path.parent if name in self.cells else self.directory) / file
