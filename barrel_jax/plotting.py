# SPDX-License-Identifier: Apache-2.0
"""Colours, figures and PNG files of every picture.

Figures are matplotlib's on Agg canvases of their own (no pyplot: no global state, no display, nothing to close) and
become RGB uint8 arrays; the caller decides where they go. Words on pictures are Pillow's, in matplotlib's font.
Predicted points are orange and true points blue in every picture: Okabe and Ito's palette, which people with any colour
vision tell apart.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.ImageFont import FreeTypeFont

PREDICTED, TRUE, INK, MUTED = "#E69F00", "#56B4E9", "#222222", "#666666"
SUBSETS = ("#009E73", "#CC79A7", "#D55E00", "#0072B2", "#B8A800", "#7F7F7F")
DPI = 100
BITS = 4  # of the fraction of a pixel in OpenCV's coordinates


def rgb(color: str) -> tuple[int, ...]:
    """The numbers of a colour of 0 to 255: '#E69F00' is 230, 159, 0."""
    return tuple(bytes.fromhex(color[1:]))


def fixed(points: np.ndarray) -> np.ndarray:
    """Coordinates [..., 2] as OpenCV's fixed-point numbers, far ones cut off: int32 [..., 2]."""
    return np.clip(np.round(np.asarray(points, np.float64) * 2**BITS), -(2**22), 2**22).astype(np.int32)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes an RGB uint8 picture [H, W, 3] as PNG. Raises OSError when the file cannot be written."""
    encoded = cv2.imencode(".png", picture[..., ::-1])[1]
    Path(path).write_bytes(encoded.tobytes())


class Words(NamedTuple):
    """What is written on a picture: `at` is the left end of its middle line and `size` its font's, in pixels."""

    text: str
    at: tuple[float, float]
    size: float
    color: str = INK
    bold: bool = False


def written(picture: np.ndarray, words: Iterable[Words]) -> np.ndarray:
    """A picture RGB uint8 [H, W, 3] with words on it, as a new array."""
    from PIL import Image, ImageDraw  # prediction does without Pillow and matplotlib

    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for text, at, size, color, bold in words:
        pen.text(at, text, color, _font(size, bold), anchor="lm")
    return np.array(canvas)


def shortened(words: Words, width: float) -> Words:
    """The words with an ellipsis in the place of their beginning, where they are longer than so many pixels."""
    length = _font(words.size, words.bold).getlength
    text = words.text
    while length(text) > width and len(text) > 1:
        text = "…" + text.removeprefix("…")[1:]
    return words._replace(text=text)


@cache
def _font(size: float, bold: bool) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' * bold}.ttf")
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def new_figure(width: int, height: int) -> "Figure":
    """An empty figure of so many pixels, on a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # prediction does without matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: "Figure") -> np.ndarray:
    """What a figure shows: RGB uint8 [height, width, 3]."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
